/** A linear map along one axis as a product with a constant matrix: resizing, padding by reflection, strided slices backwards. */
import { floatTensor } from '../../tensor-ref.ts';
import type { GradientSite } from './site.ts';

/** `value` of shape `shape`, its axis of length `from` mapped to length `to` by `entry(row of to, column of from)`. */
export function alongAxis(site: GradientSite, value: string, shape: readonly number[], axis: number, to: number, entry: (out: number, into: number) => number): string {
  const from = shape[axis];
  const matrix = new Float32Array(from * to);
  const last = axis === shape.length - 1;
  for (let i = 0; i < from; i++) for (let j = 0; j < to; j++) matrix[last ? i * to + j : j * from + i] = entry(j, i);
  // From the right on the last axis, from the left on the flattened rest of any other.
  if (last) return site.tape.op('MatMul', [value, site.tape.weight(floatTensor('map', [from, to], matrix))]);
  const map = site.tape.weight(floatTensor('map', [to, from], matrix));
  const before = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const after = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const mapped = site.tape.op('MatMul', [map, site.reshape(value, [before, from, after])]);
  return site.reshape(mapped, [...shape.slice(0, axis), to, ...shape.slice(axis + 1)]);
}
