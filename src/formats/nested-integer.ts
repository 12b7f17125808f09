/**
 * Integers of many bits read as integers of fewer (arXiv:2502.01199, section 3.1): the same scale times a power of two.
 * Ties go to even, as in training; an arithmetic shift rounds down and is half a step off on average.
 */
import { rne } from '../numeric/rounding.ts';

export type NarrowingRule = 'round' | 'floor';

/** Codes of `high` bits as codes of `low` bits, clipped to −2^(low−1) … 2^(low−1) − 1. Their scale is 2^(high − low) times as large. */
export function narrowCodes(codes: Int8Array, high: number, low: number, rule: NarrowingRule = 'round'): Int8Array {
  const shift = high - low;
  const most = 2 ** (low - 1) - 1;
  if (shift === 0) return codes.slice();
  // 256 codes: what each becomes is worked out once.
  const table = Int8Array.from({ length: 256 }, (_, index) => {
    const code = (index << 24) >> 24;
    const narrow = rule === 'floor' ? code >> shift : rne(code / 2 ** shift);
    return Math.min(most, Math.max(-most - 1, narrow));
  });
  const out = new Int8Array(codes.length);
  for (let i = 0; i < codes.length; i++) out[i] = table[codes[i] & 0xff];
  return out;
}
