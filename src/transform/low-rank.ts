/**
 * W ≈ B·A + Q: a product of low rank beside a rounded rest (SVDQuant, arXiv:2411.05007). Layers that share an input share
 * A, found on their rows one above the other. The pair is found again on W − Q as long as the output error falls.
 */
import { roundToF16 } from '../numeric/half.ts';
import { matmul } from '../numeric/matrix.ts';
import { qr } from '../numeric/qr.ts';
import { normal } from '../numeric/random.ts';
import { svd } from '../numeric/svd.ts';
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

/** Columns of the sketch beyond the rank, and times it is multiplied by WᵀW. The seed is fixed: another sketch may change which of two near candidates wins. */
const [oversample, powers, seed] = [10, 3, 0];

/** Matrices one above the other. */
export function stacked(matrices: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(matrices.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const matrix of matrices) { out.set(matrix, at); at += matrix.length; }
  return out;
}

/**
 * The leading right singular vectors of W from WᵀW [cols, cols], row-major [rank, cols]: subspace iteration from a random
 * sketch, then the eigenvectors within it; all of them where the sketch would be as wide as W.
 */
export function leadingDirections(gram: ArrayLike<number>, cols: number, rank: number): Float32Array {
  const width = Math.min(cols, rank + oversample);
  let basis: Float64Array = Float64Array.from({ length: cols * width }, (_, i) => (width === cols ? (i % (cols + 1) === 0 ? 1 : 0) : normal(seed, 0, i)));
  if (width < cols) for (let power = 0; power < powers; power++) basis = qr(matmul(gram, basis, cols, cols, width), cols, width).q;
  const across = new Float64Array(basis.length);
  for (let i = 0; i < cols; i++) for (let k = 0; k < width; k++) across[k * cols + i] = basis[i * width + k];
  const { v, rank: found } = svd(matmul(across, matmul(gram, basis, cols, cols, width), width, cols, width), width, width);
  const directions = matmul(basis, v, cols, width, found);
  return Float32Array.from({ length: rank * cols }, (_, i) => directions[(i % cols) * found + Math.floor(i / cols)]);
}

/** The branch along given directions: B = W·Aᵀ leaves the least of W for them. */
export function branchAlong(down: Float32Array, matrices: readonly Float32Array[], cols: number): Branch {
  const rank = down.length / cols;
  const ups = matrices.map((matrix) => {
    const up = new Float32Array((matrix.length / cols) * rank);
    for (let row = 0; row * cols < matrix.length; row++) {
      for (let k = 0; k < rank; k++) {
        let sum = 0;
        for (let i = 0, at = row * cols, from = k * cols; i < cols; i++) sum += matrix[at + i] * down[from + i];
        up[row * rank + k] = sum;
      }
    }
    return up;
  });
  return { rank, down, ups };
}

/** The leading product of matrices [rows, cols] one above the other. */
export const leadingBranch = async (products: Products, matrices: readonly Float32Array[], cols: number, rank: number): Promise<Branch> =>
  branchAlong(leadingDirections(await products.gram(stacked(matrices), cols), cols, rank), matrices, cols);

/** The branch in half precision, as files hold it. */
const stored = ({ rank, down, ups }: Branch): Branch => ({ rank, down: roundToF16(down), ups: ups.map(roundToF16) });

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
    const branch = stored(await leadingBranch(products, rest, cols, rank));
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
