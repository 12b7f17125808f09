/** Inputs of products: tokens rounded by groups of 32 columns. */
import { highest, whole } from './vector';

/**
 * Bytes of a group of inputs:
 *   0     codes of 16 bits;
 *   64    what products with four bits multiply: where dot products of bytes can be had, the low and then the high bytes
 *         of the codes, eight columns at a time as `order` says; else narrow codes less 16 times those two columns before
 *         among eight, for words that are not masked;
 *   128   the scale, and the sum of the codes as a float;
 *   136   −8 times that sum as an integer, or where words are multiplied −8 times the sums over even and over odd columns
 *         in 16 bits each; and the sum of the first 16 codes as a float.
 */
// @ts-ignore: decorator
@inline
export const inputBytes: usize = 144;
// @ts-ignore: decorator
@inline
export const sides: usize = 128;

/** The columns that stand at the low and then at the high nibbles of four bytes, for 16 columns. */
// @ts-ignore: decorator
@inline
function order(v: v128): v128 { return v128.shuffle<u8>(v, v, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15); }

/** Rounds `count` groups of floats to codes whose largest is `top`: 127, or 32639 whose high byte is 127 as well. */
export function roundInputs(x: usize, count: i32, to: usize, top: i32): void {
  for (let g = 0; g < count; g++) {
    let most = f32x4.splat(0);
    for (let i: usize = 0; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(v128.load(x + i)));
    const amax = highest(most);
    const scale: f32 = amax / <f32>top;
    const by = f32x4.splat(scale > 0 ? scale : 1);
    let total = i32x4.splat(0), first = total;
    for (let i: usize = 0; i < 64; i += 16) {
      const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x + (i << 1)), by)));
      const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x + (i << 1), 16), by)));
      total = i32x4.add(total, i32x4.add(a, b));
      if (i === 16) first = total;
      const codes = i16x8.narrow_i32x4_s(a, b);
      v128.store(to + i, codes);
      if (!ASC_FEATURE_RELAXED_SIMD) v128.store(to + i, i16x8.sub(codes, i16x8.shl(v128.shuffle<i16>(codes, i16x8.splat(0), 8, 8, 0, 1, 2, 3, 4, 5), 4)), 64);
    }
    if (ASC_FEATURE_RELAXED_SIMD) {
      for (let i: usize = 0; i < 32; i += 16) {
        const a = v128.load(to + (i << 1)), b = v128.load(to + (i << 1), 16);
        const half = i16x8.splat(128);
        const high = i16x8.shr_s(i16x8.add(a, half), 8), over = i16x8.shr_s(i16x8.add(b, half), 8);
        v128.store(to + i, order(i8x16.narrow_i16x8_s(i16x8.sub(a, i16x8.shl(high, 8)), i16x8.sub(b, i16x8.shl(over, 8)))), 64);
        v128.store(to + i, order(i8x16.narrow_i16x8_s(high, over)), 96);
      }
    }
    const sum = whole(total);
    store<f32>(to, scale, sides);
    store<f32>(to, <f32>sum, sides + 4);
    const even = i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 2);
    store<i32>(to, !ASC_FEATURE_RELAXED_SIMD && top === 127 ? (-8 * even & 0xffff) | (-8 * (sum - even) << 16) : -8 * sum, sides + 8);
    store<f32>(to, <f32>whole(first), sides + 12);
    x += 128;
    to += inputBytes;
  }
}
