/** Inputs for keys and values whose width a builder of graphs left open: attention in the graph says what it is. */
import { intOf } from './attributes.ts';
import type { Graph, ValueInfo } from './graph.ts';

/** The inputs of a graph, [batch, heads, past, width] with the width of a head where GroupQueryAttention reads them. */
export function knownCacheInputs({ nodes, inputs, weights }: Pick<Graph, 'nodes' | 'inputs' | 'weights'>): readonly ValueInfo[] {
  const widths = new Map<string, number>();
  const readers = new Map(nodes.flatMap((node) => node.inputs.slice(0, 1).map((input) => [input, node] as const)));
  for (const node of nodes) {
    const heads = node.op === 'GroupQueryAttention' ? intOf(node, 'num_heads', undefined) : undefined;
    const after = heads === undefined ? undefined : readers.get(node.outputs[0]);
    const all = after === undefined ? undefined : intOf(after, 'K', undefined) ?? weights.get(after.inputs[1])?.shape[0];
    if (heads !== undefined && all !== undefined) for (const input of node.inputs.slice(3, 5)) widths.set(input, all / heads);
  }
  return inputs.map((input) => (widths.has(input.name) && input.shape?.length === 4 && typeof input.shape[3] !== 'number' ? { ...input, shape: [...input.shape.slice(0, 3), widths.get(input.name)!] } : input));
}
