/** What each family of ggml block types implements: rows of floats to packed blocks and back. */
export interface BlockCodec {
  /** Packs `cols` values from `x[at]` into `out[to]`; `importance` is one weight per column. */
  encodeRow(x: Float32Array, at: number, cols: number, importance: Float32Array | undefined, out: Uint8Array, to: number): void;
  /** Unpacks `blocks` blocks of `bytes` from its beginning. */
  decode(bytes: Uint8Array, blocks: number, out: Float32Array): void;
}

const f = Math.fround;
const magic = 12582912;

/** Nearest integer to v, ties to even, limited to [low, high]; NaN gives `low`. For results below 2^22. */
export function nearest(v: number, low: number, high: number): number {
  const t = v > low ? v : low;
  return f(f((t < high ? t : high) + magic) - magic);
}

/** Σ x² in index order, rounded to float32 at every step. */
export function sumOfSquares(x: Float32Array, at: number, n: number): number {
  let sum = 0;
  for (let i = at; i < at + n; i++) sum = f(sum + f(x[i] * x[i]));
  return sum;
}

/** Weights a·√(σ² + x²) of the values under an importance vector. */
export function importanceWeights(
  x: Float32Array, at: number, importance: Float32Array, column: number, n: number, sigma2: number, weights: Float32Array,
): void {
  for (let i = 0; i < n; i++) {
    const v = x[at + i];
    weights[i] = importance[column + i] * f(Math.sqrt(f(sigma2 + f(v * v))));
  }
}

/** Writes a half-precision pattern, little endian. */
export function putHalf(out: Uint8Array, to: number, bits: number): void {
  out[to] = bits;
  out[to + 1] = bits >>> 8;
}

/** Reads a half-precision pattern, little endian. */
export const halfAt = (bytes: Uint8Array, at: number): number => bytes[at] | (bytes[at + 1] << 8);
