/** Channels of what layers read put in another order, in the layers that make them or gathered as the network runs, with the columns of their weights: the function stays. */
import { int, int64Tensor } from '../graph/build.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { withMatrix } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { foldOrder } from './fold-order.ts';
import { turnable } from './rotate.ts';

/** Channels by rising size; equal ones stay in order. */
export const risingOrder = (sizes: ArrayLike<number>): Uint32Array =>
  Uint32Array.from({ length: sizes.length }, (_, i) => i).sort((a, b) => sizes[a] - sizes[b] || a - b);

/** `order[k]` is the channel that comes to place k, by input value; only layers that read nothing but weights of their own follow. */
export async function permuteInputs(graph: Graph, orders: ReadonlyMap<string, Uint32Array>): Promise<Graph> {
  const fresh = freshNames(graph);
  const sorted = new Map<string, string>();
  const added: Node[] = [];
  let next = graph;
  for (const [value, order] of orders) {
    const folded = await foldOrder(next, value, order);
    if (folded !== undefined) {
      next = folded;
      continue;
    }
    const [name, places] = [fresh(`${value}_sorted`), fresh(`${value}_order`)];
    next = { ...next, weights: new Map(next.weights).set(places, int64Tensor(places, [...order])) };
    added.push(makeNode('Gather', [value, places], [name], { name, attributes: { axis: int(-1) } }));
    sorted.set(value, name);
  }
  const readers = new Set<string>();
  for (const site of turnable(next)) {
    const order = orders.get(site.input);
    if (order === undefined) continue;
    if (sorted.has(site.input)) readers.add(site.output);
    const matrix = await site.weightMatrix();
    next = withMatrix(next, site, matrix.map((_, i) => matrix[i - (i % site.cols) + order[i % site.cols]]));
  }
  const nodes = next.nodes.map((node) => (readers.has(node.outputs[0]) ? { ...node, inputs: [sorted.get(node.inputs[0])!, ...node.inputs.slice(1)] } : node));
  const made: Graph = { ...next, nodes: [...nodes, ...added] };
  return { ...made, nodes: sortNodes(made) };
}
