/** Thin QR factors by Householder reflections in float64: only + − × ÷ and square roots, in a fixed order. */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('qr', {
  shape: (f: { length: number; rows: number; cols: number }) => `${f.length} values do not fill a [${f.rows}, ${f.cols}] matrix`,
  wide: (f: { rows: number; cols: number }) => [`a thin factor of a [${f.rows}, ${f.cols}] matrix: fewer rows than columns`, 'factor its transpose'] as const,
});

export interface Qr {
  /** Orthonormal columns, row-major [rows, cols]; orthonormal even where A has dependent columns. */
  readonly q: Float64Array;
  /** Upper triangular, row-major [cols, cols]. */
  readonly r: Float64Array;
}

/** A = Q·R for a row-major A [rows, cols] with rows ≥ cols. */
export function qr(a: ArrayLike<number>, rows: number, cols: number): Qr {
  if (a.length !== rows * cols) throw errors.shape({ length: a.length, rows, cols });
  if (rows < cols) throw errors.wide({ rows, cols });
  // One column after another in memory: every reflection walks along columns.
  const columns = Array.from({ length: cols }, (_, j) => Float64Array.from({ length: rows }, (_one, i) => a[i * cols + j]));
  const r = new Float64Array(cols * cols);
  const factors = new Float64Array(cols);
  for (let k = 0; k < cols; k++) {
    const v = columns[k];
    for (let i = 0; i < k; i++) r[i * cols + k] = v[i];
    const norm = Math.sqrt(dotFrom(v, v, k));
    r[k * cols + k] = v[k] > 0 ? -norm : norm;
    v[k] -= r[k * cols + k];
    // H = I − factor·v·vᵀ, with factor = 2/vᵀv; nothing to reflect in a column of zeros.
    const square = dotFrom(v, v, k);
    factors[k] = square > 0 ? 2 / square : 0;
    for (let j = k + 1; j < cols; j++) reflect(columns[j], v, factors[k], k);
  }
  const q = new Float64Array(rows * cols);
  for (let j = 0; j < cols; j++) {
    const unit = new Float64Array(rows);
    unit[j] = 1;
    for (let k = cols - 1; k >= 0; k--) reflect(unit, columns[k], factors[k], k);
    for (let i = 0; i < rows; i++) q[i * cols + j] = unit[i];
  }
  return { q, r };
}

function dotFrom(x: Float64Array, y: Float64Array, begin: number): number {
  let sum = 0;
  for (let i = begin; i < x.length; i++) sum += x[i] * y[i];
  return sum;
}

function reflect(x: Float64Array, v: Float64Array, factor: number, begin: number): void {
  const s = factor * dotFrom(x, v, begin);
  for (let i = begin; i < x.length; i++) x[i] -= s * v[i];
}
