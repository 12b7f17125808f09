/**
 * An orthogonal matrix that turns channels: all of them where a matrix of the width is at hand, else runs of channels side
 * by side by one smaller matrix. y = x·Wᵀ = (x·M)·(W·M)ᵀ, so that outliers spread over channels and nothing else changes.
 */
import { hadamardTransform, largestHadamardOrder } from '../numeric/hadamard.ts';
import { uniform } from '../numeric/random.ts';

export interface Rotation {
  /** Channels that are turned; `order` divides it. */
  readonly width: number;
  readonly order: number;
  /** M, orthogonal, row-major [order, order]. */
  readonly matrix: Float32Array;
}

/** Hadamard with signs drawn by a seed before it (QuIP#, arXiv:2402.04396); undefined leaves the signs alone. */
export function hadamardRotation(width: number, seed?: number): Rotation {
  const order = largestHadamardOrder(width);
  const matrix = new Float32Array(order * order);
  for (let i = 0; i < order; i++) matrix[i * order + i] = seed === undefined || uniform(seed, 0, i) < 0.5 ? 1 : -1;
  return { width, order, matrix: hadamardTransform(matrix, order) };
}

/** Rows [count, width] times the rotation, or with `back` times its inverse; sums in float64. */
export function turnRows(values: ArrayLike<number>, { order, matrix }: Rotation, back = false): Float32Array {
  const out = new Float32Array(values.length);
  const sums = new Float64Array(order);
  for (let start = 0; start < values.length; start += order) {
    sums.fill(0);
    for (let i = 0; i < order; i++) {
      const x = values[start + i];
      if (back) for (let j = 0; j < order; j++) sums[j] += x * matrix[j * order + i];
      else for (let j = 0; j < order; j++) sums[j] += x * matrix[i * order + j];
    }
    for (let j = 0; j < order; j++) out[start + j] = sums[j];
  }
  return out;
}

/** What the manifest says of a width that no single matrix covers. */
export const rotationNote = ({ width, order }: Rotation): string | undefined =>
  (order === width ? undefined : `${width} channels are turned in ${width / order} blocks of ${order}: no Hadamard matrix of the whole width is built here`);
