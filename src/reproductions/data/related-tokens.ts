/** Tokens whose channels have an offset and follow an autoregression of first order: what caches of films look like, with the likeness as a number. */
import { normal } from '../../numeric/random.ts';
import type { RowShape } from '../../runtime/vidkv.ts';

/** Rows [tokens, heads, width]: offsets and deviations of unit variance, the latter so strongly correlated from token to token. */
export function relatedTokens({ tokens, heads, width }: RowShape, correlation: number, seed: number): Float32Array {
  const row = heads * width;
  const x = new Float32Array(tokens * row);
  for (let c = 0; c < row; c++) {
    const offset = normal(seed, 0, c);
    let state = normal(seed, 1 + c, 0);
    for (let t = 0; t < tokens; t++) {
      x[t * row + c] = offset + state;
      state = correlation * state + Math.sqrt(1 - correlation ** 2) * normal(seed, 1 + c, t + 1);
    }
  }
  return x;
}
