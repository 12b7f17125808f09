/** Products of codes of four bits with one token at a time. */
import { inputBytes, sides } from './inputs';
import { added, storeRows } from './outputs';
import { held } from './vector';

// @ts-ignore: decorator
@inline
function plus(to: v128, codes: v128, x: v128): v128 { return i32x4.add(to, i32x4.dot_i16x8_s(codes, x)); }

/** In 16 bits, whatever overflows: a group's sum over even, or odd, columns has at most 15 · 127 · 16 < 2^15. */
// @ts-ignore: decorator
@inline
function plusWords(to: v128, codes: v128, x: v128): v128 { return i16x8.add(to, i16x8.mul(codes, x)); }

/** The sum of a panel's products: nibbles 0 and 3 where they belong, nibble 1 16 times and nibble 2 256 times too large. */
// @ts-ignore: decorator
@inline
function gathered(ends: v128, by16: v128, by256: v128): v128 { return i32x4.add(ends, i32x4.add(i32x4.shr_s(by16, 4), i32x4.shr_s(by256, 8))); }

/**
 * Codes less 8 where there are no minima. `narrow` inputs are of 8 bits: nibble k of a word is w / 16^k less 16 times
 * w / 16^(k+1), rounded down, so that words shifted by 0, 4, 8 and 12 bits, unmasked, are multiplied with inputs of which
 * 16 times the pair before is taken (inputs.ts).
 */
// @ts-ignore: decorator
@inline
export function panels4(w: usize, scales: usize, mins: usize, groups: i32, x: usize, out: usize, stride: i32, firstToken: i32, tokens: i32, first: i32, last: i32, scratch: usize, minima: bool, narrow: bool): void {
  const n0 = held(i16x8.splat(0xf), scratch), n1 = held(i16x8.splat(0xf0), scratch), n2 = held(i16x8.splat(0xf00), scratch), low = held(i8x16.splat(15), scratch);
  const row = <usize>groups * inputBytes;
  for (let p = first; p < last; p++) {
    const side = <usize>p * <usize>groups << 5;
    for (let t = firstToken; t < tokens; t++) {
      let at = w + (<usize>p * <usize>groups << 7);
      let s = scales + side;
      let m = mins + side;
      let inputs = x + <usize>t * row;
      const end = inputs + row;
      let left = f32x4.splat(0), right = f32x4.splat(0);
      while (inputs < end) {
        let a = minima ? i32x4.splat(0) : v128.load32_splat(inputs, sides + 8), b = a;
        let a1 = i32x4.splat(0), b1 = a1, a2 = a1, b2 = a1;
        let from = ASC_FEATURE_RELAXED_SIMD || narrow ? inputs + 64 : inputs;
        const stop = at + 128;
        while (at < stop) {
          const u = v128.load(at), v = v128.load(at, 16);
          if (ASC_FEATURE_RELAXED_SIMD) {
            const ul = v128.and(u, low), uh = v128.and(i16x8.shr_u(u, 4), low), vl = v128.and(v, low), vh = v128.and(i16x8.shr_u(v, 4), low);
            const y = v128.load32_splat(from), z = v128.load32_splat(from, 4);
            a = i32x4.relaxed_dot_i8x16_i7x16_add_s(z, uh, i32x4.relaxed_dot_i8x16_i7x16_add_s(y, ul, a));
            b = i32x4.relaxed_dot_i8x16_i7x16_add_s(z, vh, i32x4.relaxed_dot_i8x16_i7x16_add_s(y, vl, b));
            if (!narrow) {
              const over = v128.load32_splat(from, 32), rest = v128.load32_splat(from, 36);
              a2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(rest, uh, i32x4.relaxed_dot_i8x16_i7x16_add_s(over, ul, a2));
              b2 = i32x4.relaxed_dot_i8x16_i7x16_add_s(rest, vh, i32x4.relaxed_dot_i8x16_i7x16_add_s(over, vl, b2));
            }
            from += 8;
          } else if (narrow) {
            // One loop iteration for eight columns: in longer ones the compiler loads all inputs first and runs out of registers.
            const y = v128.load32_splat(from), y1 = v128.load32_splat(from, 4), y2 = v128.load32_splat(from, 8), y3 = v128.load32_splat(from, 12);
            a = plusWords(plusWords(a, u, y), i16x8.shr_u(u, 4), y1);
            b = plusWords(plusWords(b, v, y), i16x8.shr_u(v, 4), y1);
            a = plusWords(plusWords(a, i16x8.shr_u(u, 8), y2), i16x8.shr_u(u, 12), y3);
            b = plusWords(plusWords(b, i16x8.shr_u(v, 8), y2), i16x8.shr_u(v, 12), y3);
            from += 16;
          } else {
            const y = v128.load32_splat(from), y1 = v128.load32_splat(from, 4), y2 = v128.load32_splat(from, 8), y3 = v128.load32_splat(from, 12);
            a = plus(plus(a, v128.and(u, n0), y), i16x8.shr_u(u, 12), y3);
            b = plus(plus(b, v128.and(v, n0), y), i16x8.shr_u(v, 12), y3);
            a1 = plus(a1, v128.and(u, n1), y1);
            b1 = plus(b1, v128.and(v, n1), y1);
            a2 = plus(a2, v128.and(u, n2), y2);
            b2 = plus(b2, v128.and(v, n2), y2);
            from += 16;
          }
          at += 32;
        }
        if (ASC_FEATURE_RELAXED_SIMD) {
          if (!narrow) {
            a = i32x4.add(a, i32x4.shl(a2, 8));
            b = i32x4.add(b, i32x4.shl(b2, 8));
          }
        } else if (narrow) {
          a = i32x4.dot_i16x8_s(a, i16x8.splat(1));
          b = i32x4.dot_i16x8_s(b, i16x8.splat(1));
        } else {
          a = gathered(a, a1, a2);
          b = gathered(b, b1, b2);
        }
        left = added(left, a, v128.load(s), m, minima, inputs);
        right = added(right, b, v128.load(s, 16), m + 16, minima, inputs);
        s += 32;
        m += 32;
        inputs += inputBytes;
      }
      storeRows(out, stride, t, p, left, right);
    }
  }
}
