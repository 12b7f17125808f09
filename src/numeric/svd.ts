/**
 * Singular values and vectors in float64: exact by one-sided Jacobi rotations on the triangular factor (Drmač and
 * Veselić, 2008), or the leading ones from a random sketch (Halko, Martinsson and Tropp, 2011). The same bits on every
 * machine: only + − × ÷ and square roots in a fixed order, and a fixed seed.
 */
import { defineErrors } from '../errors.ts';
import { matmul } from './matrix.ts';
import { qr } from './qr.ts';
import { normal } from './random.ts';

const errors = defineErrors('svd', {
  rank: (f: { rank: number; rows: number; cols: number }) => `rank ${f.rank} of a [${f.rows}, ${f.cols}] matrix: expected 1 to ${Math.min(f.rows, f.cols)}`,
  sweeps: (f: { rows: number; cols: number }) => `singular values of a [${f.rows}, ${f.cols}] matrix did not settle: a value is not finite`,
});

/** A ≈ U·diag(s)·Vᵀ with singular values descending; signs of the vectors are not fixed. */
export interface Svd {
  /** Row-major [rows, rank]. A column is zero where its singular value is zero. */
  readonly u: Float64Array;
  readonly s: Float64Array;
  /** Row-major [cols, rank]. */
  readonly v: Float64Array;
  readonly rank: number;
}

/** All min(rows, cols) singular triplets of a row-major A [rows, cols]. */
export function svd(a: ArrayLike<number>, rows: number, cols: number): Svd {
  if (rows < cols) {
    const { u, s, v, rank } = svd(transposed(a, rows, cols), cols, rows);
    return { u: v, s, v: u, rank };
  }
  // A = Q·R, and the columns of Rᵀ, which are rows of R, become orthogonal: Rᵀ·J = W·diag(s), so A = (Q·J)·diag(s)·Wᵀ.
  const { q, r } = qr(a, rows, cols);
  const w = Array.from({ length: cols }, (_, i) => r.subarray(i * cols, (i + 1) * cols));
  const j = Array.from({ length: cols }, (_, i) => Float64Array.from({ length: cols }, (_one, k) => (i === k ? 1 : 0)));
  orthogonalize(w, j, rows);
  const norms = w.map((column) => Math.sqrt(dot(column, column)));
  const order = norms.map((_, i) => i).sort((x, y) => norms[y] - norms[x] || x - y);
  const s = Float64Array.from(order, (i) => norms[i]);
  const v = new Float64Array(cols * cols);
  const turn = new Float64Array(cols * cols);
  order.forEach((from, to) => {
    for (let i = 0; i < cols; i++) {
      v[i * cols + to] = norms[from] > 0 ? w[from][i] / norms[from] : 0;
      turn[i * cols + to] = j[from][i];
    }
  });
  return { u: matmul(q, turn, rows, cols, cols), s, v, rank: cols };
}

export interface TruncatedOptions {
  /** Columns of the sketch beyond the rank. Default 10. */
  readonly oversample?: number;
  /** Times the sketch is multiplied by A·Aᵀ, orthonormalised in between. Default 4. */
  readonly powers?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** The `rank` leading singular triplets; exact where the sketch would be as wide as the matrix. */
export function truncatedSvd(a: ArrayLike<number>, rows: number, cols: number, rank: number, options: TruncatedOptions = {}): Svd {
  if (!(Number.isInteger(rank) && rank >= 1 && rank <= Math.min(rows, cols))) throw errors.rank({ rank, rows, cols });
  const { oversample = 10, powers = 4, seed = 0 } = options;
  const width = rank + oversample;
  if (2 * width >= Math.min(rows, cols)) return leading(svd(a, rows, cols), rows, cols, rank);
  const across = transposed(a, rows, cols);
  let sketch = qr(matmul(a, Float64Array.from({ length: cols * width }, (_, i) => normal(seed, 0, i)), rows, cols, width), rows, width).q;
  for (let power = 0; power < powers; power++) {
    const back = qr(matmul(across, sketch, cols, rows, width), cols, width).q;
    sketch = qr(matmul(a, back, rows, cols, width), rows, width).q;
  }
  const small = svd(matmul(transposed(sketch, rows, width), a, width, rows, cols), width, cols);
  return leading({ ...small, u: matmul(sketch, small.u, rows, width, width) }, rows, cols, rank);
}

/** U·diag(s)·Vᵀ, row-major [rows, cols]. */
export function svdProduct({ u, s, v, rank }: Svd, rows: number, cols: number): Float64Array {
  return matmul(u.map((x, i) => x * s[i % rank]), transposed(v, cols, rank), rows, rank, cols);
}

/** The first `rank` triplets of more. */
function leading({ u, s, v, rank: had }: Svd, rows: number, cols: number, rank: number): Svd {
  const cut = (x: Float64Array, count: number) => Float64Array.from({ length: count * rank }, (_, i) => x[Math.floor(i / rank) * had + (i % rank)]);
  return { u: cut(u, rows), s: s.slice(0, rank), v: cut(v, cols), rank };
}

const maxSweeps = 60;

/** Rotates pairs of columns until all are orthogonal to rounding; `j` takes the same rotations. */
function orthogonalize(w: Float64Array[], j: Float64Array[], rows: number): void {
  const n = w.length;
  const tolerance = 1e-15 * Math.sqrt(n);
  for (let sweep = 0; ; sweep++) {
    if (sweep === maxSweeps) throw errors.sweeps({ rows, cols: n });
    const squares = w.map((column) => dot(column, column));
    // Columns this small are rounding errors of the others, and never settle.
    const noise = Math.max(...squares) * (2 ** -52 * n) ** 2;
    let turned = false;
    for (let p = 0; p < n - 1; p++) {
      for (let q = p + 1; q < n; q++) {
        if (squares[p] <= noise || squares[q] <= noise) continue;
        const inner = dot(w[p], w[q]);
        if (!(Math.abs(inner) > tolerance * Math.sqrt(squares[p] * squares[q])) && Number.isFinite(inner)) continue;
        turned = true;
        const zeta = (squares[q] - squares[p]) / (2 * inner);
        const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const c = 1 / Math.sqrt(1 + t * t);
        rotate(w[p], w[q], c, c * t);
        rotate(j[p], j[q], c, c * t);
        squares[p] -= t * inner;
        squares[q] += t * inner;
      }
    }
    if (!turned) return;
  }
}

function dot(x: Float64Array, y: Float64Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < x.length; i += 4) {
    a += x[i] * y[i]; b += x[i + 1] * y[i + 1]; c += x[i + 2] * y[i + 2]; d += x[i + 3] * y[i + 3];
  }
  for (; i < x.length; i++) a += x[i] * y[i];
  return (a + b) + (c + d);
}

function rotate(x: Float64Array, y: Float64Array, c: number, s: number): void {
  for (let i = 0; i < x.length; i++) {
    const [p, q] = [x[i], y[i]];
    x[i] = c * p - s * q;
    y[i] = s * p + c * q;
  }
}

const transposed = (a: ArrayLike<number>, rows: number, cols: number): Float64Array => {
  const t = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) t[j * rows + i] = a[i * cols + j];
  return t;
};
