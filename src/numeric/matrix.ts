/** Small dense matrices, row-major, reduced left to right in float64. */

/** A·B for A [m, k] and B [k, n]. */
export function matmul(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): Float64Array {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const factor = a[i * k + p];
      for (let j = 0; j < n; j++) c[i * n + j] += factor * b[p * n + j];
    }
  }
  return c;
}

/** Aᵀ for A [rows, cols]. */
export function transpose(a: Float32Array, rows: number, cols: number): Float32Array {
  const t = new Float32Array(rows * cols);
  // Squares whose lines stay in the first-level cache.
  const side = 32;
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < cols; left += side) {
      const [bottom, right] = [Math.min(rows, top + side), Math.min(cols, left + side)];
      for (let i = top; i < bottom; i++) for (let j = left; j < right; j++) t[j * rows + i] = a[i * cols + j];
    }
  }
  return t;
}

/** XᵀX for X [rows, cols], symmetric. */
export function gram(x: ArrayLike<number>, rows: number, cols: number): Float64Array {
  const g = new Float64Array(cols * cols);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < cols; i++) {
      const factor = x[r * cols + i];
      for (let j = 0; j <= i; j++) g[i * cols + j] += factor * x[r * cols + j];
    }
  }
  for (let i = 0; i < cols; i++) for (let j = 0; j < i; j++) g[j * cols + i] = g[i * cols + j];
  return g;
}

/** Σ over rows of e·H·eᵀ: the output error of a weight error E [rows, n] under a second moment H [n, n]. */
export function quadraticForm(e: ArrayLike<number>, h: ArrayLike<number>, rows: number, n: number): number {
  let total = 0;
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < n; i++) {
      let s = 0;
      for (let j = 0; j < n; j++) s += h[i * n + j] * e[r * n + j];
      total += s * e[r * n + i];
    }
  }
  return total;
}
