/** How many weights a network has, those among them that lie in few bits; scales and zero points are none. */
import { elementCount, isBlockType } from '../tensor-ref.ts';
import { intOf } from './attributes.ts';
import type { Graph } from './graph.ts';
import { isFloatType } from './values.ts';

/** Where operators take codes, and what belongs to them. */
const coded: Readonly<Record<string, { readonly codes: number; readonly sides: readonly number[] }>> = {
  DequantizeLinear: { codes: 0, sides: [1, 2] }, MatMulNBits: { codes: 1, sides: [2, 3] }, GatherBlockQuantized: { codes: 0, sides: [2, 3] }, MatMulBnb4: { codes: 1, sides: [2] },
  MatMulInteger: { codes: 1, sides: [3] }, ConvInteger: { codes: 1, sides: [3] }, QLinearConv: { codes: 3, sides: [1, 2, 4, 5, 6, 7] }, QLinearMatMul: { codes: 3, sides: [1, 2, 4, 5, 6, 7] },
};

export function weightCount({ nodes, weights }: Pick<Graph, 'nodes' | 'weights'>): number {
  const found = new Map<string, number>();
  const sides = new Set<string>();
  for (const node of nodes) {
    const place = Object.hasOwn(coded, node.op) ? coded[node.op] : undefined;
    if (place === undefined) continue;
    for (const at of place.sides) sides.add(node.inputs[at] ?? '');
    const name = node.inputs[place.codes];
    const stored = weights.get(name);
    if (stored === undefined) continue;
    // Bytes may hold several codes.
    const packed = node.op === 'GatherBlockQuantized' && stored.type === 'u8' ? 8 / (intOf(node, 'bits', 0) || 4) : 1;
    found.set(name, intOf(node, 'N', 0) * intOf(node, 'K', 0) || elementCount(stored.shape) * packed);
  }
  for (const [name, { type, shape }] of weights) if (!found.has(name) && !sides.has(name) && !isBlockType(type) && isFloatType(type)) found.set(name, elementCount(shape));
  return [...found.values()].reduce((sum, count) => sum + count, 0);
}
