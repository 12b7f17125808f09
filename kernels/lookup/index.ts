/**
 * Products with weights of two bits that only add: ternary ones, and the fourth roots of unity 1, i, −1, −i. Two weights
 * are an index into a table of the 16 sums that they may make of two inputs, so that one swizzle adds for 16 rows.
 *
 * Weights [rows, blocks · 128] are digits 0 to 3 in blocks of 128 columns, a block in panels of 16 rows, 512 bytes each:
 * of the v-th 16 bytes, the low nibble of byte 2·r (rows 0 to 7) or 2·r − 15 (rows 8 to 15) holds the digits of the
 * columns 4·v and 4·v + 1, the second times four, the high nibble those of 4·v + 2 and 4·v + 3.
 *
 * Tables of a token: for each two columns 16 low bytes of the sums, then their 16 high bytes. Sums of a block are below
 * 2^15, so that high bytes may overflow on the way. Scales lie [block][panel][row] and [token][block]; blocks in
 * ascending order, an exact integer times both scales, in float32 with one rounding per multiplication and addition.
 * The build with relaxed swizzles, which leave open what indices above 15 give, has none of those and the same bits.
 * The plain twin in src/engine/kernels/lookup-plain.ts gives the same bits.
 */
import { held, highest, swizzled } from '../lowbit/vector';

// @ts-ignore: decorator
@inline
const block: i32 = 128;
// @ts-ignore: decorator
@inline
const tableBytes: usize = 2048;

// @ts-ignore: decorator
@inline
function largest(x: usize, count: i32): f32 {
  let top = f32x4.splat(0);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) top = f32x4.max(top, f32x4.abs(v128.load(x + i)));
  return highest(top);
}

/** x with the sign of a digit: itself where the digit is `plus`, negated where it is `minus`, else nothing. */
// @ts-ignore: decorator
@inline
function signed(x: v128, plus: v128, minus: v128): v128 {
  return i16x8.sub(v128.and(x, plus), v128.and(x, minus));
}

/**
 * Rounds tokens [tokens, blocks · 128] to 8 bits, with a scale for each block or one for all where `whole` is set, and
 * makes their tables for weights that add where their digit is `plus` and subtract where it is `minus`.
 */
export function tables(x: usize, tokens: i32, blocks: i32, whole: i32, plus: i32, minus: i32, to: usize, scales: usize): void {
  const digits = i16x8(0, 1, 2, 3, 0, 1, 2, 3), low = i16x8(0, 0, 0, 0, 1, 1, 1, 1), high = i16x8(2, 2, 2, 2, 3, 3, 3, 3);
  const p = i16x8.splat(<i16>plus), m = i16x8.splat(<i16>minus);
  const p0 = i16x8.eq(digits, p), m0 = i16x8.eq(digits, m);
  const pLow = i16x8.eq(low, p), mLow = i16x8.eq(low, m), pHigh = i16x8.eq(high, p), mHigh = i16x8.eq(high, m);
  for (let t = 0; t < tokens; t++) {
    const all = whole !== 0 ? largest(x, blocks * block) : 0;
    for (let b = 0; b < blocks; b++) {
      const amax = whole !== 0 ? all : largest(x, block);
      const scale: f32 = amax === 0 ? 1 : max(amax / 127, reinterpret<f32>(1));
      store<f32>(scales, scale);
      for (let i = 0; i < block; i += 2) {
        const first = i16x8.splat(<i16>min(max(nearest(load<f32>(x) / scale), <f32>-127), <f32>127));
        const second = i16x8.splat(<i16>min(max(nearest(load<f32>(x, 4) / scale), <f32>-127), <f32>127));
        const a = i16x8.add(signed(first, p0, m0), signed(second, pLow, mLow));
        const c = i16x8.add(signed(first, p0, m0), signed(second, pHigh, mHigh));
        v128.store(to, v128.shuffle<i8>(a, c, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30));
        v128.store(to, v128.shuffle<i8>(a, c, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), 16);
        x += 8;
        to += 32;
      }
      scales += 4;
    }
  }
}

/** out[token] += what four rows of a block add. */
// @ts-ignore: decorator
@inline
function addScaled(out: usize, dots: v128, weights: usize, input: v128, begin: bool): void {
  const value = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(dots), v128.load(weights)), input);
  v128.store(out, f32x4.add(begin ? f32x4.splat(0) : v128.load(out), value));
}

/** out[token][16 · panel + row] for panels [first, last) of `panels`; `stride` in values. The first results hold a constant before they are made. */
export function product(w: usize, scales: usize, blocks: i32, panels: i32, from: usize, inScales: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  const nibble = held(i8x16.splat(15), out + (<usize>first << 6));
  for (let b = 0; b < blocks; b++) {
    for (let p = first; p < last; p++) {
      const place = <usize>(b * panels + p);
      const ws = scales + (place << 6);
      for (let t = 0; t < tokens; t++) {
        let at = w + (place << 9);
        let table = from + <usize>(t * blocks + b) * tableBytes;
        const end = at + 512;
        let all = i16x8.splat(0), odd = i16x8.splat(0), high = i8x16.splat(0);
        for (; at < end; at += 16) {
          const v = v128.load(at);
          const one = v128.and(v, nibble), two = i8x16.shr_u(v, 4);
          const a = swizzled(v128.load(table), one), c = swizzled(v128.load(table, 32), two);
          all = i16x8.add(i16x8.add(all, a), c);
          odd = i16x8.add(i16x8.add(odd, i16x8.shr_u(a, 8)), i16x8.shr_u(c, 8));
          high = i8x16.add(i8x16.add(high, swizzled(v128.load(table, 16), one)), swizzled(v128.load(table, 48), two));
          table += 64;
        }
        const even = i16x8.add(i16x8.sub(all, i16x8.shl(odd, 8)), i16x8.shl(high, 8));
        const uneven = i16x8.add(odd, v128.and(high, i16x8.splat(<i16>0xff00)));
        const input = v128.load32_splat(inScales + (<usize>(t * blocks + b) << 2));
        const o = out + (<usize>(t * stride + p * 16) << 2);
        const begin = b === 0;
        addScaled(o, i32x4.extend_low_i16x8_s(even), ws, input, begin);
        addScaled(o + 16, i32x4.extend_high_i16x8_s(even), ws + 16, input, begin);
        addScaled(o + 32, i32x4.extend_low_i16x8_s(uneven), ws + 32, input, begin);
        addScaled(o + 48, i32x4.extend_high_i16x8_s(uneven), ws + 48, input, begin);
      }
    }
  }
}
