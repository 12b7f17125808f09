/**
 * Eigenvalues and eigenvectors of symmetric matrices in float64 by cyclic Jacobi rotations (Golub and Van Loan, section
 * 8.5). The same bits on every machine: only + − × ÷ and square roots in a fixed order; order and signs are fixed too.
 */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('eigen', {
  shape: (f: { length: number; size: number }) => `a ${f.size}×${f.size} matrix has ${f.size * f.size} elements, got ${f.length}`,
  sweeps: (f: { size: number }) => `eigenvalues of a ${f.size}×${f.size} matrix did not settle: a value is not finite`,
});

/** A = V·diag(values)·Vᵀ. */
export interface Eigen {
  /** Descending. */
  readonly values: Float64Array;
  /** Orthonormal columns, row-major [size, size]; the entry of largest magnitude of each column (the first of equals) is positive. */
  readonly vectors: Float64Array;
}

const maxSweeps = 60;

/** Of a symmetric A [size, size], row-major; what lies above and below the diagonal is averaged. */
export function symmetricEigen(matrix: ArrayLike<number>, size: number): Eigen {
  if (matrix.length !== size * size) throw errors.shape({ length: matrix.length, size });
  const a = Float64Array.from({ length: size * size }, (_, i) => (matrix[i] + matrix[(i % size) * size + Math.floor(i / size)]) / 2);
  // Rows are eigenvectors while they are made: rotations then run along memory.
  const v = Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  let square = 0;
  for (let i = 0; i < a.length; i++) square += a[i] * a[i];
  const negligible = (1e-16 * Math.sqrt(square)) / Math.max(1, size);
  for (let sweep = 0; turn(a, v, size, negligible); sweep++) if (sweep === maxSweeps) throw errors.sweeps({ size });

  const diagonal = Float64Array.from({ length: size }, (_, i) => a[i * size + i]);
  const order = [...diagonal.keys()].sort((x, y) => diagonal[y] - diagonal[x] || x - y);
  const vectors = new Float64Array(size * size);
  order.forEach((from, to) => {
    const row = v.subarray(from * size, (from + 1) * size);
    let largest = 0;
    for (let i = 1; i < size; i++) if (Math.abs(row[i]) > Math.abs(row[largest])) largest = i;
    const sign = row[largest] < 0 ? -1 : 1;
    for (let i = 0; i < size; i++) vectors[i * size + to] = sign * row[i];
  });
  return { values: Float64Array.from(order, (i) => diagonal[i]), vectors };
}

/** One sweep over all pairs; false when no entry off the diagonal was worth a rotation. */
function turn(a: Float64Array, v: Float64Array, size: number, negligible: number): boolean {
  let turned = false;
  for (let p = 0; p < size - 1; p++) {
    for (let q = p + 1; q < size; q++) {
      const apq = a[p * size + q];
      if (Math.abs(apq) <= negligible) continue;
      turned = true;
      const theta = (a[q * size + q] - a[p * size + p]) / (2 * apq);
      const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
      const c = 1 / Math.sqrt(t * t + 1);
      const s = t * c;
      rotateRows(a, p * size, q * size, size, c, s);
      for (let at = 0; at < a.length; at += size) {
        const [x, y] = [a[at + p], a[at + q]];
        a[at + p] = c * x - s * y;
        a[at + q] = s * x + c * y;
      }
      a[p * size + q] = 0;
      a[q * size + p] = 0;
      rotateRows(v, p * size, q * size, size, c, s);
    }
  }
  return turned;
}

function rotateRows(m: Float64Array, p: number, q: number, size: number, c: number, s: number): void {
  for (let i = 0; i < size; i++) {
    const [x, y] = [m[p + i], m[q + i]];
    m[p + i] = c * x - s * y;
    m[q + i] = s * x + c * y;
  }
}
