/**
 * Bringing a graph to a newer operator set: version by version, each breaking change of an operator is one row of
 * `changes` (upgrade-changes.ts). Changes that only add element types or optional parts need no row; an operator that
 * the tables do not know is refused by name. Source: the ONNX operator changelog.
 */
import { defineErrors } from '../errors.ts';
import type { ElementType, TensorRef } from '../tensor-ref.ts';
import type { Graph, Node } from './graph.ts';
import { inferTypes } from './infer.ts';
import { freshNames, mapBodies, replaceNodes, type Fresh, type Replacement } from './rewrite.ts';
import { label, type GraphView } from './traverse.ts';
import { changes, knownOperators } from './upgrade-changes.ts';
import { numberTensor } from './values.ts';

const errors = defineErrors('upgrade', {
  unknownOperator: (f: { node: string; op: string; from: number; to: number }) =>
    `node ${f.node}: operator ${f.op} is not known, so it cannot go from operator set ${f.from} to ${f.to}`,
  refused: (f: { node: string; op: string; version: number; reason: string }) =>
    `node ${f.node}: ${f.op} cannot go to operator set ${f.version}: ${f.reason}`,
  target: (f: { target: number }) => `operator set ${f.target} is not a target (21 to 26)`,
});

/** What a row sees of the node that it changes. */
export interface Change {
  readonly node: Node;
  readonly view: GraphView;
  int(name: string, fallback: number): number;
  ints(name: string): readonly number[] | undefined;
  float(name: string): number | undefined;
  /** Element type of input `index`; refuses when it is not known. */
  typeOf(index: number): ElementType;
  /** Rank of input `index`; refuses when it is not known. */
  rankOf(index: number): number;
  /** A new int64 weight; its name. */
  weight(stem: string, values: readonly number[]): string;
  /** A new float32 weight; its name. */
  floats(stem: string, values: readonly number[]): string;
  /** A new scalar of an element type; its name. */
  scalar(stem: string, type: ElementType, value: number): string;
  fresh: Fresh;
  /** The node with attributes removed, others set, and more inputs. */
  edit(change: { drop?: readonly string[]; set?: Node['attributes']; inputs?: readonly string[]; op?: string }): Node;
  refuse(reason: string): Error;
}

/** Returns the nodes that stand for the old one; undefined when it needs no change. */
export type ChangeRow = (change: Change) => readonly Node[] | undefined;

/** Brings the default domain to operator set `target` (21, or up to 26). A graph that is there already comes back as it is. */
export async function upgradeOpset(graph: Graph, target = 21): Promise<Graph> {
  if (!Number.isInteger(target) || target < 21 || target > 26) throw errors.target({ target });
  const from = graph.opset.get('') ?? 1;
  if (from >= target) return graph;
  checkKnown(graph, from, target);
  // Types and ranks of the values as they were; names of old values survive every step.
  let next = await inferTypes(graph);
  const fresh = freshNames(graph);
  for (let version = from + 1; version <= target; version++) {
    const rows = changes[version];
    if (rows === undefined) continue;
    next = replaceNodes(next, (node, view, newName) => {
      if (node.domain !== '' || !Object.hasOwn(rows, node.op)) return undefined;
      return applyRow(rows[node.op], node, view, version, newName);
    }, fresh);
  }
  return withOpset(next, new Map(graph.opset).set('', target));
}

function checkKnown(graph: Graph, from: number, to: number): void {
  for (const node of graph.nodes) {
    if (node.domain === '' && !knownOperators.has(node.op)) throw errors.unknownOperator({ node: label(node), op: node.op, from, to });
    mapBodies(node, (body) => { checkKnown(body, from, to); return body; });
  }
}

const withOpset = (graph: Graph, opset: ReadonlyMap<string, number>): Graph => ({
  ...graph, opset, nodes: graph.nodes.map((node) => mapBodies(node, (body) => withOpset(body, opset))),
});

function applyRow(row: ChangeRow, node: Node, view: GraphView, version: number, fresh: Fresh): Replacement | undefined {
  const weights: TensorRef[] = [];
  const refuse = (reason: string): Error => errors.refused({ node: label(node), op: node.op, version, reason });
  const add = (weight: TensorRef): string => { weights.push(weight); return weight.name; };
  const stem = (part: string): string => fresh(`${node.outputs.find((output) => output !== '') ?? node.op}_${part}`);
  const nodes = row({
    node, view, fresh, refuse,
    int: (name, fallback) => { const found = node.attributes[name]; return found?.kind === 'int' ? found.value : fallback; },
    ints: (name) => { const found = node.attributes[name]; return found?.kind === 'ints' ? found.value : undefined; },
    float: (name) => { const found = node.attributes[name]; return found?.kind === 'float' ? found.value : undefined; },
    typeOf: (index) => {
      const type = view.info(node.inputs[index])?.type;
      if (type === undefined || type === 'string') throw refuse(`the element type of ${node.inputs[index]} is not known`);
      return type;
    },
    rankOf: (index) => {
      const shape = view.info(node.inputs[index])?.shape;
      if (shape === undefined) throw refuse(`the rank of ${node.inputs[index]} is not known`);
      return shape.length;
    },
    weight: (part, values) => add(numberTensor(stem(part), 'i64', [values.length], values)),
    floats: (part, values) => add(numberTensor(stem(part), 'f32', [values.length], values)),
    scalar: (part, type, value) => add(numberTensor(stem(part), type, [], [value])),
    edit: ({ drop = [], set = {}, inputs = node.inputs, op = node.op }) => {
      const kept = Object.entries(node.attributes).filter(([name]) => !drop.includes(name));
      return { ...node, op, inputs, attributes: { ...Object.fromEntries(kept), ...set } };
    },
  });
  return nodes === undefined ? undefined : { nodes, weights };
}
