/**
 * A ≈ Q + L₁·L₂ with Q low-bit and L₁·L₂ of low rank (LQ-LoRA, arXiv:2311.12023, algorithm 1): the product is the leading
 * part of A − Q, Q is A − L₁·L₂ rounded, in turn until the error rises; the best pair is kept. With a diagonal Fisher matrix
 * rows and columns are weighed by the roots of its means, which makes the weighted product a plain one (algorithm 2).
 */
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { roundToF16 } from '../numeric/half.ts';
import { matmul } from '../numeric/matrix.ts';
import { svd, truncatedSvd, type Svd } from '../numeric/svd.ts';
import { encodeMatrix } from './encode-matrix.ts';
import { required, type Matrix } from './rounder.ts';

export interface DecomposeOptions {
  /** Most alternations; default 100. */
  readonly rounds?: number;
  /** Weight of each squared error, [rows, cols]; all alike where absent. */
  readonly fisher?: Float32Array;
  /** All singular values instead of a sketch of the leading ones. */
  readonly exact?: boolean;
  /** L₁ and L₂ in half precision, as files hold them. */
  readonly half?: boolean;
}

export interface Decomposition {
  readonly rank: number;
  /** L₁, row-major [rows, rank]. */
  readonly left: Float32Array;
  /** L₂, row-major [rank, cols]. */
  readonly right: Float32Array;
  /** A − L₁·L₂, what is rounded. */
  readonly residual: Float32Array;
  readonly quantized: Quantized;
  /** √Σ F·(A − L₁·L₂ − Q)² after each alternation, the last one that rose included. */
  readonly errors: readonly number[];
}

/** Two power iterations and ten more columns, as the paper's code has them. */
const sketch = { oversample: 10, powers: 2, seed: 0 } as const;

export function decompose(matrix: Matrix, format: NumberFormat, rank: number, options: DecomposeOptions = {}): Decomposition {
  const { values, rows, cols, name } = matrix;
  const { rounds = 100, exact = false, half = false } = options;
  const fisher = options.fisher === undefined ? undefined : required('lq-decompose', matrix, 'Fisher weights', options.fisher, rows * cols);
  const weigh = fisher === undefined ? undefined : fisherRoots(fisher, rows, cols);
  const errors: number[] = [];
  let best: (Omit<Decomposition, 'errors'> & { readonly error: number }) | undefined;
  const rest = Float64Array.from(values);
  while (errors.length < rounds) {
    const whole = leading(rest, rows, cols, rank, weigh, exact);
    const { left, right } = half ? { left: roundToF16(whole.left), right: roundToF16(whole.right) } : whole;
    const product = matmul(Float64Array.from(left), Float64Array.from(right), rows, rank, cols);
    const residual = new Float32Array(values.length);
    for (let i = 0; i < residual.length; i++) residual[i] = values[i] - product[i];
    const quantized = encodeMatrix(format, residual, rows, cols, name === undefined ? {} : { name });
    const decoded = format.decode(quantized);
    let square = 0;
    for (let i = 0; i < residual.length; i++) square += (fisher === undefined ? 1 : fisher[i]) * (residual[i] - decoded[i]) ** 2;
    const error = Math.sqrt(square);
    errors.push(error);
    if (best !== undefined && error >= best.error) break;
    best = { rank, left, right, residual, quantized, error };
    for (let i = 0; i < rest.length; i++) rest[i] = values[i] - decoded[i];
  }
  const { error: _least, ...found } = best!;
  return { ...found, errors };
}

export interface FisherRoots { readonly rows: Float64Array; readonly cols: Float64Array }

/** Roots of the means over rows and over columns, lifted by 1e-12 of their mean so that one can divide by them. */
export function fisherRoots(fisher: ArrayLike<number>, rows: number, cols: number): FisherRoots {
  const [byRow, byCol] = [new Float64Array(rows), new Float64Array(cols)];
  for (let i = 0, r = 0; r < rows; r++) for (let c = 0; c < cols; c++, i++) { byRow[r] += fisher[i] / cols; byCol[c] += fisher[i] / rows; }
  const lifted = (means: Float64Array): Float64Array => {
    const roots = means.map(Math.sqrt);
    const least = 1e-12 * (roots.reduce((sum, x) => sum + x, 0) / roots.length || 1);
    return roots.map((x) => x + least);
  };
  return { rows: lifted(byRow), cols: lifted(byCol) };
}

/** The leading product of a matrix, singular values shared between both sides. */
function leading(rest: Float64Array, rows: number, cols: number, rank: number, weigh: FisherRoots | undefined, exact: boolean): { left: Float32Array; right: Float32Array } {
  const weighed = weigh === undefined ? rest : new Float64Array(rest.length);
  if (weigh !== undefined) for (let i = 0, r = 0; r < rows; r++) for (let c = 0; c < cols; c++, i++) weighed[i] = rest[i] * weigh.rows[r] * weigh.cols[c];
  const { u, s, v, rank: found }: Svd = exact ? svd(weighed, rows, cols) : truncatedSvd(weighed, rows, cols, rank, sketch);
  const left = new Float32Array(rows * rank);
  const right = new Float32Array(rank * cols);
  for (let k = 0; k < rank; k++) {
    const root = Math.sqrt(s[k]);
    for (let r = 0; r < rows; r++) left[r * rank + k] = (u[r * found + k] * root) / (weigh?.rows[r] ?? 1);
    for (let c = 0; c < cols; c++) right[k * cols + c] = (v[c * found + k] * root) / (weigh?.cols[c] ?? 1);
  }
  return { left, right };
}
