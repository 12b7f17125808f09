/** Walking graphs: who makes a value, who uses it, what runs before what. */
import { defineErrors } from '../errors.ts';
import type { Graph, Node, ValueInfo } from './graph.ts';

const errors = defineErrors('graph', {
  cycle: (f: { graph: string; node: string }) => `graph ${f.graph}: node ${f.node} depends on its own result`,
});

/** How a node is called in messages: its name, else its operator and first output. */
export const label = (node: Node): string => (node.name !== '' ? node.name : `${node.op} making ${node.outputs.find((o) => o !== '') ?? 'nothing'}`);

/** The bodies that a node carries (If, Loop, Scan), with the attribute each stands in. */
export function bodies(node: Node): { attribute: string; graph: Graph }[] {
  const found: { attribute: string; graph: Graph }[] = [];
  for (const [attribute, value] of Object.entries(node.attributes)) if (value.kind === 'graph') found.push({ attribute, graph: value.value });
  return found;
}

/** Names that a graph uses without making them: what a body takes from the graphs around it. */
export function freeNames(graph: Graph): Set<string> {
  const own = new Set<string>(graph.weights.keys());
  for (const input of graph.inputs) own.add(input.name);
  for (const node of graph.nodes) for (const output of node.outputs) own.add(output);
  const free = new Set<string>();
  for (const node of graph.nodes) for (const name of usedNames(node)) if (!own.has(name)) free.add(name);
  for (const output of graph.outputs) if (!own.has(output.name)) free.add(output.name);
  return free;
}

/** Every value a node depends on: its inputs, and what its bodies take from outside. */
export function usedNames(node: Node): Set<string> {
  const used = new Set<string>();
  for (const input of node.inputs) if (input !== '') used.add(input);
  for (const { graph } of bodies(node)) for (const name of freeNames(graph)) used.add(name);
  return used;
}

/** The node that makes each value. */
export function producers(graph: Graph): Map<string, Node> {
  const made = new Map<string, Node>();
  for (const node of graph.nodes) for (const output of node.outputs) if (output !== '') made.set(output, node);
  return made;
}

/** The nodes that use each value, each once, in order; a use inside a body counts for the node that carries it. */
export function consumers(graph: Graph): Map<string, Node[]> {
  const uses = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    for (const name of usedNames(node)) {
      const list = uses.get(name);
      if (list === undefined) uses.set(name, [node]);
      else list.push(node);
    }
  }
  return uses;
}

/** Both maps and the sets that passes ask for, computed once per graph. */
export interface GraphView {
  readonly graph: Graph;
  readonly producers: ReadonlyMap<string, Node>;
  readonly consumers: ReadonlyMap<string, readonly Node[]>;
  readonly outputs: ReadonlySet<string>;
  /** The only node that uses a value; undefined when several do, none does, or the value is a graph output. */
  onlyConsumer(value: string): Node | undefined;
  /** Type and shape of a graph input, output, weight or noted inner value. */
  info(value: string): ValueInfo | undefined;
}

/** Indexes a graph for a pass. */
export function viewOf(graph: Graph): GraphView {
  const uses = consumers(graph);
  const outputs = new Set(graph.outputs.map((output) => output.name));
  const infos = new Map<string, ValueInfo>(graph.values);
  for (const value of [...graph.outputs, ...graph.inputs]) infos.set(value.name, value);
  return {
    graph,
    producers: producers(graph),
    consumers: uses,
    outputs,
    onlyConsumer: (value) => {
      const list = uses.get(value);
      return list?.length === 1 && !outputs.has(value) ? list[0] : undefined;
    },
    info: (value) => {
      const weight = graph.weights.get(value);
      if (weight === undefined) return infos.get(value);
      return { name: value, type: weight.type in typesOfGraphs ? (weight.type as ValueInfo['type']) : undefined, shape: weight.shape };
    },
  };
}

const typesOfGraphs = {
  f64: 1, f32: 1, f16: 1, bf16: 1, i64: 1, i32: 1, i16: 1, i8: 1, u64: 1, u32: 1, u16: 1, u8: 1, bool: 1,
  f8_e4m3: 1, f8_e5m2: 1, f8_e8m0: 1, i4: 1, u4: 1, f4_e2m1: 1, i2: 1, u2: 1,
};

/** The nodes in an order where every value is made before it is used; nodes already in order stay put. */
export function sortNodes(graph: Graph): readonly Node[] {
  const made = new Set<string>();
  for (const node of graph.nodes) for (const output of node.outputs) made.add(output);
  const ready = new Set<string>();
  const needs = graph.nodes.map((node) => [...usedNames(node)].filter((name) => made.has(name)));
  let sorted = true;
  for (const [i, node] of graph.nodes.entries()) {
    if (needs[i].some((name) => !ready.has(name))) { sorted = false; break; }
    for (const output of node.outputs) ready.add(output);
  }
  if (sorted) return graph.nodes;

  const maker = new Map<string, number>();
  for (const [i, node] of graph.nodes.entries()) for (const output of node.outputs) maker.set(output, i);
  // 0: not visited, 1: on the path from a node to what it needs, 2: placed.
  const state = new Uint8Array(graph.nodes.length);
  const order: Node[] = [];
  for (let root = 0; root < graph.nodes.length; root++) {
    const path: { node: number; next: number }[] = [];
    if (state[root] === 0) { path.push({ node: root, next: 0 }); state[root] = 1; }
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      if (top.next === needs[top.node].length) {
        state[top.node] = 2;
        order.push(graph.nodes[top.node]);
        path.pop();
        continue;
      }
      const before = maker.get(needs[top.node][top.next++])!;
      if (state[before] === 1) throw errors.cycle({ graph: graph.name, node: label(graph.nodes[before]) });
      if (state[before] === 0) { state[before] = 1; path.push({ node: before, next: 0 }); }
    }
  }
  return order;
}
