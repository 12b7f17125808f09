/**
 * Products of codes of four bits that stand for values of a table, with one token at a time, and nothing unpacked to memory:
 * the low nibbles of a vector are columns 0, 4, 1 and 5 of four rows, the high ones 2, 6, 3 and 7, and swizzles give the
 * bytes of their values.
 *
 * Plain: values of 8 bits plus 128, so that words of two columns become words of one by a mask or a shift; of a wide table
 * low and high bytes, interleaved to the words of two rows at a time. Relaxed, where bytes are multiplied that have 7 bits:
 * values from −16 to 111 plus 16; all others plus 2048 as 7 low bits and five high ones, which are two products. What is
 * added is taken back times the sum of the inputs.
 *
 * Per 256 weights that is, beside loads and some 20 operations for scales, 136 vector operations with a table of 8 bits and
 * 168 with a wide one, where integers take 88 to 100; relaxed, with inputs of 8 bits, 56 and 88 where they take 40.
 */
import { inputBytes, sides } from './inputs';
import { added, addedHalves, storeRows } from './outputs';
import { held, swizzled } from './vector';

// @ts-ignore: decorator
@inline
export function plus(to: v128, values: v128, x: v128): v128 { return i32x4.add(to, i32x4.dot_i16x8_s(values, x)); }

// @ts-ignore: decorator
@inline
export function plusBytes(to: v128, values: v128, x: v128): v128 { return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(x, values, to) : to; }

/** Words of two rows from their low and high bytes, and of the next two. */
// @ts-ignore: decorator
@inline
function firstWords(low: v128, high: v128): v128 { return v128.shuffle<u8>(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); }
// @ts-ignore: decorator
@inline
function nextWords(low: v128, high: v128): v128 { return v128.shuffle<u8>(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); }

/** Four rows, each the sum of two lanes. */
// @ts-ignore: decorator
@inline
function joined(first: v128, next: v128): v128 { return i32x4.add(v128.shuffle<i32>(first, next, 0, 2, 4, 6), v128.shuffle<i32>(first, next, 1, 3, 5, 7)); }

/** Bytes of inputs of 16 columns, where products read them. */
// @ts-ignore: decorator
@inline
export const half: usize = ASC_FEATURE_RELAXED_SIMD ? 16 : 32;

/** −2^shift times a sum of inputs: beside 1.5 · 2^23 the low bits of a float are a whole number. */
// @ts-ignore: decorator
@inline
export function taken(sum: v128, shift: i32): v128 { return i32x4.shl(i32x4.sub(i32x4.splat(0x4b400000), f32x4.add(sum, f32x4.splat(12582912))), shift); }

/** The sum of four rows' products over the columns whose codes lie in [at, stop), from `start` on; `two`: t2 has high bytes, or bits. */
// @ts-ignore: decorator
@inline
function products(at: usize, stop: usize, from: usize, start: v128, t: v128, t2: v128, low: v128, bytes: v128, two: bool, narrow: bool): v128 {
  let a = start, b = i32x4.splat(0), c = b, d = b;
  for (; at < stop; at += 32) {
    const u = v128.load(at);
    const l = v128.and(u, low), h = v128.and(i16x8.shr_u(u, 4), low);
    const m = swizzled(t, l), n = swizzled(t, h);
    if (ASC_FEATURE_RELAXED_SIMD) {
      const x = v128.load32_splat(from), x1 = v128.load32_splat(from, 4);
      a = plusBytes(plusBytes(a, m, x), n, x1);
      if (!narrow) b = plusBytes(plusBytes(b, m, v128.load32_splat(from, 32)), n, v128.load32_splat(from, 36));
      if (two) {
        const m2 = swizzled(t2, l), n2 = swizzled(t2, h);
        c = plusBytes(plusBytes(c, m2, x), n2, x1);
        if (!narrow) d = plusBytes(plusBytes(d, m2, v128.load32_splat(from, 32)), n2, v128.load32_splat(from, 36));
      }
      from += 8;
    } else if (two) {
      const all = v128.load(from);
      const x = v128.shuffle<i16>(all, all, 0, 4, 1, 5, 0, 4, 1, 5), x1 = v128.shuffle<i16>(all, all, 2, 6, 3, 7, 2, 6, 3, 7);
      const m2 = swizzled(t2, l), n2 = swizzled(t2, h);
      a = plus(plus(a, firstWords(m, m2), x), firstWords(n, n2), x1);
      b = plus(plus(b, nextWords(m, m2), x), nextWords(n, n2), x1);
      from += 16;
    } else {
      a = plus(plus(a, v128.and(m, bytes), v128.load32_splat(from)), i16x8.shr_u(m, 8), v128.load32_splat(from, 8));
      b = plus(plus(b, v128.and(n, bytes), v128.load32_splat(from, 4)), i16x8.shr_u(n, 8), v128.load32_splat(from, 12));
      from += 16;
    }
  }
  if (!ASC_FEATURE_RELAXED_SIMD) return two ? joined(a, b) : i32x4.add(a, b);
  if (two) {
    a = i32x4.add(a, i32x4.shl(c, 7));
    b = i32x4.add(b, i32x4.shl(d, 7));
  }
  return narrow ? a : i32x4.add(a, i32x4.shl(b, 8));
}

/** Tables lie in `scratch`; scales as in packed.ts. */
// @ts-ignore: decorator
@inline
function panelsOf(two: bool, fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, narrow: bool, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  const t = v128.load(scratch), t2 = v128.load(scratch, 16);
  const low = held(i8x16.splat(15), scratch), bytes = held(i16x8.splat(0xff), scratch);
  const row = <usize>groups * inputBytes;
  const plain = !ASC_FEATURE_RELAXED_SIMD;
  const shift = plain ? 7 : two ? 11 : 4;
  for (let p = first; p < last; p++) {
    for (let token = 0; token < tokens; token++) {
      let index = <usize>p * <usize>groups;
      let at = w + (index << 7);
      let inputs = x + <usize>token * row;
      const end = inputs + row;
      let left = f32x4.splat(0), right = left;
      for (; inputs < end; inputs += inputBytes, at += 128, index++) {
        const from = plain ? inputs : inputs + 64;
        let start = v128.load32_splat(inputs, sides + 4);
        if (halves) {
          const s = scales + (index << 6);
          const before = v128.load32_splat(inputs, sides + 12);
          const next = plain && two ? i32x4.splat(0) : taken(f32x4.sub(start, before), shift);
          start = plain && two ? next : taken(before, shift);
          left = addedHalves(left, products(at, at + 64, from, start, t, t2, low, bytes, two, narrow), products(at + 64, at + 128, from + half, next, t, t2, low, bytes, two, narrow), s, 0, false, inputs);
          right = addedHalves(right, products(at + 16, at + 64, from, start, t, t2, low, bytes, two, narrow), products(at + 80, at + 128, from + half, next, t, t2, low, bytes, two, narrow), s + 16, 0, false, inputs);
          continue;
        }
        start = plain && two ? i32x4.splat(0) : taken(start, shift);
        const a = products(at, at + 128, from, start, t, t2, low, bytes, two, narrow), b = products(at + 16, at + 128, from, start, t, t2, low, bytes, two, narrow);
        if (fine) {
          const block = scales + (index >> 3) * 96;
          const codes = v128.load8x8_s(block + ((index & 7) << 3), 32);
          left = added(left, a, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)), v128.load(block)), 0, false, inputs);
          right = added(right, b, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)), v128.load(block, 16)), 0, false, inputs);
        } else {
          const s = scales + (index << 5);
          left = added(left, a, v128.load(s), 0, false, inputs);
          right = added(right, b, v128.load(s, 16), 0, false, inputs);
        }
      }
      storeRows(out, stride, token, p, left, right);
    }
  }
}

// @ts-ignore: decorator
@inline
function panels(two: bool, fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, narrow: bool, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  if (halves) panelsOf(two, false, true, w, scales, groups, x, narrow, tokens, out, stride, first, last, scratch);
  else panelsOf(two, fine, false, w, scales, groups, x, narrow, tokens, out, stride, first, last, scratch);
}

/** Each case by itself, which being exported keeps apart: in one function the compiler keeps fewer sums in registers. */
export function tableSmall(fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  panels(false, fine, halves, w, scales, groups, x, false, tokens, out, stride, first, last, scratch);
}
export function tableSmallNarrow(fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  if (!ASC_FEATURE_RELAXED_SIMD) return;
  panels(false, fine, halves, w, scales, groups, x, true, tokens, out, stride, first, last, scratch);
}
export function tableLarge(fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  panels(true, fine, halves, w, scales, groups, x, false, tokens, out, stride, first, last, scratch);
}
export function tableLargeNarrow(fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  if (!ASC_FEATURE_RELAXED_SIMD) return;
  panels(true, fine, halves, w, scales, groups, x, true, tokens, out, stride, first, last, scratch);
}

/** `table` as in packed.ts; scales of halves are not `fine`. */
export function productTable(table: usize, wide: bool, fine: bool, halves: bool, w: usize, scales: usize, groups: i32, x: usize, narrow: bool, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  const low = v128.load(table);
  const high = wide ? v128.load(table, 16) : i8x16.shr_s(low, 7);
  let large = wide;
  let t = low, t2 = high;
  if (ASC_FEATURE_RELAXED_SIMD) {
    large = wide || !i8x16.all_true(v128.and(i8x16.ge_s(low, i8x16.splat(-16)), i8x16.lt_s(low, i8x16.splat(112))));
    t = large ? v128.and(low, i8x16.splat(127)) : i8x16.add(low, i8x16.splat(16));
    t2 = i8x16.add(i8x16.add(i8x16.shl(high, 1), i8x16.shr_u(low, 7)), i8x16.splat(16));
  } else if (!large) t = i8x16.add(low, i8x16.splat(-128));
  v128.store(scratch, t);
  v128.store(scratch, t2, 16);
  if (ASC_FEATURE_RELAXED_SIMD && narrow) {
    if (large) tableLargeNarrow(fine, halves, w, scales, groups, x, tokens, out, stride, first, last, scratch);
    else tableSmallNarrow(fine, halves, w, scales, groups, x, tokens, out, stride, first, last, scratch);
  } else if (large) tableLarge(fine, halves, w, scales, groups, x, tokens, out, stride, first, last, scratch);
  else tableSmall(fine, halves, w, scales, groups, x, tokens, out, stride, first, last, scratch);
}
