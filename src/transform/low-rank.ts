/**
 * W ≈ B·A + Q: a product of low rank beside a rounded rest (SVDQuant, arXiv:2411.05007). Layers that share an input share
 * A, found on their rows one above the other. The pair is found again on W − Q as long as the output error falls.
 */
import { truncatedSvd, type TruncatedOptions } from '../numeric/svd.ts';
import { layerError, rounded, type Products, type SharedLayers } from './layer-error.ts';

export interface Branch {
  readonly rank: number;
  /** A, row-major [rank, cols]. */
  readonly down: Float32Array;
  /** B of each layer, row-major [rows, rank]. */
  readonly ups: readonly Float32Array[];
}

export interface Split extends Branch {
  /** W − B·A of each layer. */
  readonly residuals: readonly Float32Array[];
  /** Output error after each round that was tried. */
  readonly errors: readonly number[];
}

/** The seed is fixed: another sketch may change which of two near candidates wins. */
const sketch: TruncatedOptions = { oversample: 10, powers: 2, seed: 0 };

/** The leading product of matrices [rows, cols] one above the other. */
export function leadingBranch(matrices: readonly Float32Array[], cols: number, rank: number, options: TruncatedOptions = sketch): Branch {
  const total = matrices.reduce((sum, { length }) => sum + length, 0);
  const stacked = new Float32Array(total);
  let at = 0;
  for (const matrix of matrices) { stacked.set(matrix, at); at += matrix.length; }
  const { u, s, v, rank: found } = truncatedSvd(stacked, total / cols, cols, rank, options);
  const down = new Float32Array(rank * cols);
  for (let i = 0; i < cols; i++) for (let k = 0; k < found; k++) down[k * cols + i] = v[i * found + k];
  let row = 0;
  const ups = matrices.map(({ length }) => {
    const begin = row;
    row += length / cols;
    return Float32Array.from({ length: (length / cols) * rank }, (_, i) => u[(begin + Math.floor(i / rank)) * found + (i % rank)] * s[i % rank]);
  });
  return { rank, down, ups };
}

/** W − B·A, each product summed in float64. */
export function withoutBranch(matrix: Float32Array, cols: number, { rank, down }: Branch, up: Float32Array): Float32Array {
  const out = new Float32Array(matrix.length);
  const sums = new Float64Array(cols);
  for (let start = 0, row = 0; start < matrix.length; start += cols, row++) {
    sums.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = up[row * rank + k];
      for (let j = 0; j < cols; j++) sums[j] += factor * down[k * cols + j];
    }
    for (let j = 0; j < cols; j++) out[start + j] = matrix[start + j] - sums[j];
  }
  return out;
}

/** The branch of layers that share an input, and the rest that is rounded; `rounds` of finding it again, 1 for a single decomposition. */
export async function splitLowRank(products: Products, shared: SharedLayers, rank: number, rounds: number): Promise<Split> {
  const { rows: { cols }, layers } = shared;
  let rest: readonly Float32Array[] = layers.map(({ values }) => values);
  let best: { branch: Branch; residuals: readonly Float32Array[]; error: number } | undefined;
  const errors: number[] = [];
  for (let round = 0; round < Math.max(1, rounds); round++) {
    const branch = leadingBranch(rest, cols, rank);
    const residuals = layers.map(({ values }, i) => withoutBranch(values, cols, branch, branch.ups[i]));
    const decoded = layers.map(({ rows, format }, i) => rounded(residuals[i], rows, cols, format));
    const error = await layerError(products, shared, residuals, decoded);
    errors.push(error);
    if (best !== undefined && error >= best.error) break;
    best = { branch, residuals, error };
    rest = layers.map(({ values }, i) => values.map((w, at) => w - decoded[i][at]));
  }
  return { ...best!.branch, residuals: best!.residuals, errors };
}
