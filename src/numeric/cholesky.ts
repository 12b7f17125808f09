/**
 * Cholesky factors and triangular systems in float64. Every element is reduced in ascending order of the
 * inner index, one rounding per operation, so that blocking changes speed and never a bit.
 */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('cholesky', {
  notPositive: (f: { index: number; pivot: number }) => [
    `matrix is not positive definite: pivot ${f.index} is ${f.pivot}`,
    'raise the damping, or collect statistics from more samples',
  ] as const,
  shape: (f: { length: number; size: number }) =>
    `a ${f.size}×${f.size} matrix has ${f.size * f.size} elements, got ${f.length}`,
});

/** Raised by every implementation when pivot `index` is not a positive number. */
export const notPositive = (index: number, pivot: number) => errors.notPositive({ index, pivot });

/** Columns factored together; a block of rows of this width stays in the first-level cache. */
const blockSize = 48;

/**
 * The lower factor L of a symmetric positive definite A = L·Lᵀ, row-major [n, n]; only the lower triangle of
 * `a` is read, and the upper triangle of the result is zero. Throws when a pivot is not positive.
 */
export function cholesky(a: Float64Array, n: number): Float64Array {
  if (a.length !== n * n) throw errors.shape({ length: a.length, size: n });
  const l = Float64Array.from(a);
  for (let begin = 0; begin < n; begin += blockSize) {
    const end = Math.min(begin + blockSize, n);
    for (let i = begin; i < n; i++) {
      for (let j = begin; j < Math.min(end, i + 1); j++) {
        const s = subtractDot(l, i * n, j * n, begin, j, l[i * n + j]);
        if (i !== j) l[i * n + j] = s / l[j * n + j];
        else if (s > 0 && s < Infinity) l[i * n + i] = Math.sqrt(s);
        else throw notPositive(i, s);
      }
    }
    trailingUpdate(l, n, begin, end);
  }
  for (let i = 0; i < n; i++) l.fill(0, i * n + i + 1, (i + 1) * n);
  return l;
}

/** start − Σ x[k]·y[k] over k in [begin, end), left to right. */
function subtractDot(l: Float64Array, x: number, y: number, begin: number, end: number, start: number): number {
  let s = start;
  for (let k = begin; k < end; k++) s -= l[x + k] * l[y + k];
  return s;
}

/** Subtracts the finished columns [begin, end) from all columns to their right, four by two elements at a time. */
function trailingUpdate(l: Float64Array, n: number, begin: number, end: number): void {
  for (let i = end; i < n; i += 4) {
    const rows = Math.min(4, n - i);
    const last = i + rows - 1;
    let j = end;
    if (rows === 4) {
      const a = i * n, b = a + n, c = b + n, d = c + n;
      for (; j + 1 <= i; j += 2) {
        const e = j * n, f = e + n;
        let ae = l[a + j], af = l[a + j + 1], be = l[b + j], bf = l[b + j + 1];
        let ce = l[c + j], cf = l[c + j + 1], de = l[d + j], df = l[d + j + 1];
        for (let k = begin; k < end; k++) {
          const x = l[e + k], y = l[f + k];
          const p = l[a + k], q = l[b + k], r = l[c + k], s = l[d + k];
          ae -= p * x; af -= p * y; be -= q * x; bf -= q * y;
          ce -= r * x; cf -= r * y; de -= s * x; df -= s * y;
        }
        l[a + j] = ae; l[a + j + 1] = af; l[b + j] = be; l[b + j + 1] = bf;
        l[c + j] = ce; l[c + j + 1] = cf; l[d + j] = de; l[d + j + 1] = df;
      }
    }
    for (; j <= last; j++) {
      for (let row = Math.max(i, j); row <= last; row++) {
        l[row * n + j] = subtractDot(l, row * n, j * n, begin, end, l[row * n + j]);
      }
    }
  }
}

/** The inverse of a lower triangular L, row-major [n, n]; lower triangular itself. */
export function invertLower(l: Float64Array, n: number): Float64Array {
  if (l.length !== n * n) throw errors.shape({ length: l.length, size: n });
  const x = new Float64Array(n * n);
  const row = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    row.fill(0, 0, i);
    for (let k = 0; k < i; k++) {
      const factor = l[i * n + k];
      if (factor === 0) continue;
      for (let j = 0; j <= k; j++) row[j] -= factor * x[k * n + j];
    }
    const pivot = l[i * n + i];
    for (let j = 0; j < i; j++) x[i * n + j] = row[j] / pivot;
    x[i * n + i] = 1 / pivot;
  }
  return x;
}

/** Solves A·x = b for the lower factor L of A = L·Lᵀ. */
export function choleskySolve(l: Float64Array, n: number, b: Float64Array): Float64Array {
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    let s = x[i];
    for (let k = 0; k < i; k++) s -= l[i * n + k] * x[k];
    x[i] = s / l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    let s = x[i];
    for (let k = i + 1; k < n; k++) s -= l[k * n + i] * x[k];
    x[i] = s / l[i * n + i];
  }
  return x;
}

/**
 * The unit upper factor U and the diagonal D of A = U·D·Uᵀ (Cholesky from the last row up), which the error
 * feedback of LDLQ needs. U is row-major [n, n].
 */
export function unitUpperFactor(a: Float64Array, n: number): { upper: Float64Array; diagonal: Float64Array } {
  if (a.length !== n * n) throw errors.shape({ length: a.length, size: n });
  const flipped = Float64Array.from(a).reverse();
  const l = cholesky(flipped, n).reverse();
  const diagonal = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    const pivot = l[k * n + k];
    diagonal[k] = pivot * pivot;
    for (let j = 0; j <= k; j++) l[j * n + k] /= pivot;
  }
  return { upper: l, diagonal };
}
