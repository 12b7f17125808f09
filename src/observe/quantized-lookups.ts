/** Lookups in tables of codes as lookups in whole tables of numbers, so that they read like those of floats: the same numbers. */
import { int, int64Tensor } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { makeNode, removeDeadNodes, replaceNodes } from '../graph/rewrite.ts';

/** The graph with GatherBlockQuantized, and a Gather of codes behind which DequantizeLinear stands, as Gather behind what decodes the table. */
export function withWholeTables(graph: Graph): Graph {
  const whole = replaceNodes(graph, (node, { producers }, fresh) => {
    if (node.domain === 'com.microsoft' && node.op === 'GatherBlockQuantized') {
      const [codes, indices, ...scales] = node.inputs;
      const rows = graph.weights.get(codes)?.shape[0];
      if (rows === undefined || (node.attributes.gather_axis?.kind === 'int' && node.attributes.gather_axis.value !== 0)) return undefined;
      const bounds = [0, rows, 1].map((value) => int64Tensor(fresh('row'), value));
      const [all, table] = [fresh(`${codes}_rows`), fresh(`${codes}_table`)];
      return {
        weights: bounds,
        nodes: [makeNode('Range', bounds.map(({ name }) => name), [all], { name: all }), { ...node, name: table, inputs: [codes, all, ...scales], outputs: [table] }, makeNode('Gather', [table, indices], node.outputs, { name: node.name })],
      };
    }
    const lookup = node.domain === '' && node.op === 'DequantizeLinear' ? producers.get(node.inputs[0]) : undefined;
    if (lookup?.op !== 'Gather' || !graph.weights.has(lookup.inputs[0]) || (lookup.attributes.axis?.kind === 'int' && lookup.attributes.axis.value !== 0)) return undefined;
    // A scale per column has another axis before and after; only that of the whole table is the same.
    if (graph.weights.get(node.inputs[1])?.shape.every((dim) => dim === 1) !== true) return undefined;
    const table = fresh(`${lookup.inputs[0]}_table`);
    return [{ ...node, name: table, inputs: [lookup.inputs[0], ...node.inputs.slice(1)], outputs: [table] }, makeNode('Gather', [table, lookup.inputs[1]], node.outputs, { name: node.name, attributes: { axis: int(0) } })];
  });
  return whole === graph ? graph : removeDeadNodes(whole);
}
