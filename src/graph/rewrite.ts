/** Changing graphs: replace nodes, rename values, drop what nothing uses. Every function returns a new graph. */
import type { TensorRef } from '../tensor-ref.ts';
import type { Graph, Node, ValueInfo } from './graph.ts';
import { bodies, sortNodes, usedNames, viewOf, type GraphView } from './traverse.ts';

/** Makes names that no value and no node of a graph, its bodies included, has. */
export type Fresh = (stem: string) => string;

/** A source of unused names for one pass: `stem`, then `stem_1`, `stem_2`, … */
export function freshNames(graph: Graph): Fresh {
  const taken = new Set<string>();
  collectNames(graph, taken);
  const counts = new Map<string, number>();
  return (stem) => {
    let name = stem;
    for (let i = counts.get(stem) ?? 1; name === '' || taken.has(name); i++) {
      name = `${stem}_${i}`;
      counts.set(stem, i + 1);
    }
    taken.add(name);
    return name;
  };
}

function collectNames(graph: Graph, into: Set<string>): void {
  for (const value of [...graph.inputs, ...graph.outputs]) into.add(value.name);
  for (const name of graph.weights.keys()) into.add(name);
  for (const node of graph.nodes) {
    into.add(node.name);
    for (const name of [...node.inputs, ...node.outputs]) into.add(name);
    for (const { graph: body } of bodies(node)) collectNames(body, into);
  }
}

/** A node of the default domain; the parts that most nodes do not need have defaults. */
export function makeNode(op: string, inputs: readonly string[], outputs: readonly string[], rest: Partial<Pick<Node, 'name' | 'domain' | 'attributes'>> = {}): Node {
  return { name: rest.name ?? '', op, domain: rest.domain ?? '', inputs, outputs, attributes: rest.attributes ?? {} };
}

/** What a rule puts in the place of a node; new weights go under their own names. */
export interface Replacement {
  readonly nodes: readonly Node[];
  readonly weights?: readonly TensorRef[];
  readonly values?: readonly ValueInfo[];
}

/** Sees one node and the graph as it was before the pass; undefined keeps the node, an empty list removes it. */
export type Rule = (node: Node, view: GraphView, fresh: Fresh) => readonly Node[] | Replacement | undefined;

const isList = (made: readonly Node[] | Replacement): made is readonly Node[] => Array.isArray(made);

/**
 * Applies a rule to every node, those in bodies included (a body's view shows the body alone), and returns the new graph.
 * The nodes of a replacement stand where the old one stood; the result is sorted. The same graph comes back when no rule fired.
 */
export function replaceNodes(graph: Graph, rule: Rule, fresh: Fresh = freshNames(graph)): Graph {
  const view = viewOf(graph);
  const nodes: Node[] = [];
  const weights = new Map(graph.weights);
  const values = new Map(graph.values);
  let changed = false;
  for (const original of graph.nodes) {
    const node = mapBodies(original, (body) => replaceNodes(body, rule, fresh));
    if (node !== original) changed = true;
    const made = rule(node, view, fresh);
    if (made === undefined) {
      nodes.push(node);
      continue;
    }
    changed = true;
    const replacement: Replacement = isList(made) ? { nodes: made } : made;
    nodes.push(...replacement.nodes);
    for (const weight of replacement.weights ?? []) weights.set(weight.name, weight);
    for (const value of replacement.values ?? []) values.set(value.name, value);
  }
  if (!changed) return graph;
  const next: Graph = { ...graph, nodes, weights, values };
  return { ...next, nodes: sortNodes(next) };
}

/** The node with each body changed; the same node when none did. */
export function mapBodies(node: Node, change: (body: Graph) => Graph): Node {
  let attributes: Record<string, Node['attributes'][string]> | undefined;
  for (const { attribute, graph } of bodies(node)) {
    const next = change(graph);
    if (next !== graph) {
      attributes ??= { ...node.attributes };
      attributes[attribute] = { kind: 'graph', value: next };
    }
  }
  return attributes === undefined ? node : { ...node, attributes };
}

/**
 * Renames values everywhere: nodes, bodies, weights, edges and notes. New names must be free, or equal to the name
 * of a value whose maker the caller removed.
 */
export function renameValues(graph: Graph, names: ReadonlyMap<string, string>): Graph {
  if (names.size === 0) return graph;
  const to = (name: string): string => names.get(name) ?? name;
  const info = (value: ValueInfo): ValueInfo => (names.has(value.name) ? { ...value, name: to(value.name) } : value);
  return {
    ...graph,
    nodes: graph.nodes.map((node) => {
      const inner = mapBodies(node, (body) => renameValues(body, names));
      const touched = inner.inputs.some((name) => names.has(name)) || inner.outputs.some((name) => names.has(name));
      return touched ? { ...inner, inputs: inner.inputs.map(to), outputs: inner.outputs.map(to) } : inner;
    }),
    inputs: graph.inputs.map(info),
    outputs: graph.outputs.map(info),
    weights: new Map([...graph.weights].map(([name, weight]) => [to(name), weight])),
    values: new Map([...graph.values].map(([name, value]) => [to(name), info(value)])),
  };
}

/** Makes the uses of each key read its target instead; graph outputs keep their names and are not touched. */
export function redirectUses(graph: Graph, targets: ReadonlyMap<string, string>): Graph {
  if (targets.size === 0) return graph;
  const to = (name: string): string => {
    let end = name;
    for (let next = targets.get(end); next !== undefined; next = targets.get(end)) end = next;
    return end;
  };
  return {
    ...graph,
    nodes: graph.nodes.map((node) => {
      const inner = mapBodies(node, (body) => redirectBody(body, targets));
      return inner.inputs.some((name) => targets.has(name)) ? { ...inner, inputs: inner.inputs.map(to) } : inner;
    }),
  };
}

/** In a body, an output may be a value of the graph around it and follows like any use. */
function redirectBody(body: Graph, targets: ReadonlyMap<string, string>): Graph {
  const next = redirectUses(body, targets);
  if (!next.outputs.some((output) => targets.has(output.name))) return next;
  return { ...next, outputs: next.outputs.map((output) => ({ ...output, name: targets.get(output.name) ?? output.name })) };
}

/** The graph with the weights that another one, as training left it, has under the same names. */
export const withWeightsOf = (graph: Graph, { weights }: Graph): Graph =>
  ({ ...graph, weights: new Map([...graph.weights].map(([name, weight]) => [name, weights.get(name) ?? weight])) });

/** Drops nodes whose results nothing uses, then weights and notes of values that are gone; inputs and outputs stay. */
export function removeDeadNodes(graph: Graph): Graph {
  const live = new Set(graph.outputs.map((output) => output.name));
  const kept: Node[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node.outputs.some((output) => output !== '' && live.has(output))) continue;
    for (const name of usedNames(node)) live.add(name);
    kept.push(node);
  }
  kept.reverse();
  const made = new Set(kept.flatMap((node) => node.outputs));
  const weights = new Map([...graph.weights].filter(([name]) => live.has(name)));
  const values = new Map([...graph.values].filter(([name]) => made.has(name)));
  if (kept.length === graph.nodes.length && weights.size === graph.weights.size && values.size === graph.values.size) return graph;
  return { ...graph, nodes: kept, weights, values };
}
