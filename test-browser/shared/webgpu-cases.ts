/** What a check of a WebGPU kernel finds: how far results are from those that are expected. */
import { normal } from '../../src/numeric/random.ts';

/** An error and the bound that it must stay within, as shares of the root mean square of what is expected. */
export interface Case { readonly name: string; readonly error: number; readonly bound: number }

/** The bound of sums in float32 in another order. */
export const floatBound = 2e-5;

export const random = (seed: number, count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(seed, 0, i) * scale);

export function apart(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [most, squares] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const far = Math.abs(got[i] - expected[i]);
    if (!(far <= most)) most = far;
    squares += expected[i] ** 2;
  }
  return most / Math.sqrt(squares / expected.length);
}
