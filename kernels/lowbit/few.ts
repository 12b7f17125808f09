/**
 * Products of codes of two and three bits with one token at a time, and nothing unpacked to memory: pairs of bits of a vector,
 * shifted and masked, are bytes of four columns for four rows, and the third bits are put beside them. These bytes are
 * multiplied where dot products of bytes can be had, else words of two columns of them; two bits alone are masked to words
 * at once. Codes are multiplied unsigned, and what they are less is taken back times the sum of the inputs.
 *
 * Per 256 weights that is, beside loads and scales, 116 vector operations for two bits and 168 for three; relaxed, with
 * inputs of 8 bits, 44 and 88.
 */
import { inputBytes, sides } from './inputs';
import { added, addedHalves } from './outputs';
import { half, plus, plusBytes, taken } from './table';
import { held } from './vector';

/** Codes of four columns for four rows; `step` numbers the bits they lie at, `high` has third bits from the lowest on. */
// @ts-ignore: decorator
@inline
function codes(u: v128, high: v128, step: i32, third: bool, two: v128, four: v128): v128 {
  const low = v128.and(step === 0 ? u : i16x8.shr_u(u, step << 1), two);
  if (!third) return low;
  return v128.or(low, v128.and(step < 2 ? i16x8.shl(high, 2 - step) : step === 2 ? high : i16x8.shr_u(high, 1), four));
}

/** Four columns and then the next four of 16, as inputs lie. */
// @ts-ignore: decorator
@inline
function times(to: v128, c: v128, from: usize, bytes: v128): v128 {
  return plus(plus(to, v128.and(c, bytes), v128.load32_splat(from)), i16x8.shr_u(c, 8), v128.load32_splat(from, 8));
}

/** Masks are those of words. */
// @ts-ignore: decorator
@inline
function inWords(third: bool): bool { return !ASC_FEATURE_RELAXED_SIMD && !third; }

/** The sum of four rows' products over 16 columns, from `start` on. */
// @ts-ignore: decorator
@inline
function products(u: v128, high: v128, from: usize, start: v128, third: bool, narrow: bool, two: v128, four: v128, bytes: v128): v128 {
  if (inWords(third)) {
    // Every other two bits stay where they are, four times too large.
    const u4 = i16x8.shr_u(u, 4), u8 = i16x8.shr_u(u, 8), u12 = i16x8.shr_u(u, 12);
    const a = plus(plus(plus(plus(start, v128.and(u, two), v128.load32_splat(from)), v128.and(u8, two), v128.load32_splat(from, 8)), v128.and(u4, two), v128.load32_splat(from, 16)), v128.and(u12, two), v128.load32_splat(from, 24));
    const b = plus(plus(plus(i32x4.dot_i16x8_s(v128.and(u, four), v128.load32_splat(from, 4)), v128.and(u8, four), v128.load32_splat(from, 12)), v128.and(u4, four), v128.load32_splat(from, 20)), v128.and(u12, four), v128.load32_splat(from, 28));
    return i32x4.add(a, i32x4.shr_s(b, 2));
  }
  const c0 = codes(u, high, 0, third, two, four), c1 = codes(u, high, 1, third, two, four), c2 = codes(u, high, 2, third, two, four), c3 = codes(u, high, 3, third, two, four);
  if (!ASC_FEATURE_RELAXED_SIMD) return times(times(times(times(start, c0, from, bytes), c1, from + 4, bytes), c2, from + 16, bytes), c3, from + 20, bytes);
  const sum = plusBytes(plusBytes(plusBytes(plusBytes(start, c0, v128.load32_splat(from)), c1, v128.load32_splat(from, 4)), c2, v128.load32_splat(from, 8)), c3, v128.load32_splat(from, 12));
  if (narrow) return sum;
  const over = plusBytes(plusBytes(plusBytes(plusBytes(i32x4.splat(0), c0, v128.load32_splat(from, 32)), c1, v128.load32_splat(from, 36)), c2, v128.load32_splat(from, 40)), c3, v128.load32_splat(from, 44));
  return i32x4.add(sum, i32x4.shl(over, 8));
}

// @ts-ignore: decorator
@inline
function groupsOf(third: bool, narrow: bool, less: i32, at: usize, count: i32, s: usize, m: usize, inputs: usize, left: usize, right: usize, minima: bool, halves: bool, scratch: usize): void {
  const two = held(inWords(third) ? i16x8.splat(3) : i8x16.splat(3), scratch), four = held(inWords(third) ? i16x8.splat(12) : i8x16.splat(4), scratch), bytes = held(i16x8.splat(0xff), scratch);
  const lessen = f32x4.splat(<f32>less);
  const sideBytes: usize = halves ? 64 : 32;
  let l = v128.load(left), r = v128.load(right);
  for (const end = inputs + <usize>count * inputBytes; inputs < end; inputs += inputBytes, at += third ? 96 : 64, s += sideBytes, m += sideBytes) {
    const from = ASC_FEATURE_RELAXED_SIMD ? inputs + 64 : inputs;
    const before = v128.load32_splat(inputs, sides + 12);
    const start = taken(f32x4.mul(before, lessen), 0), middle = taken(f32x4.mul(f32x4.sub(v128.load32_splat(inputs, sides + 4), before), lessen), 0);
    const hu = third ? v128.load(at, 64) : two, hv = third ? v128.load(at, 80) : two;
    const a = products(v128.load(at), hu, from, start, third, narrow, two, four, bytes), c = products(v128.load(at, 32), i16x8.shr_u(hu, 4), from + half, middle, third, narrow, two, four, bytes);
    const b = products(v128.load(at, 16), hv, from, start, third, narrow, two, four, bytes), d = products(v128.load(at, 48), i16x8.shr_u(hv, 4), from + half, middle, third, narrow, two, four, bytes);
    if (halves) {
      l = addedHalves(l, a, c, s, m, minima, inputs);
      r = addedHalves(r, b, d, s + 16, m + 16, minima, inputs);
    } else {
      l = added(l, i32x4.add(a, c), v128.load(s), 0, false, inputs);
      r = added(r, i32x4.add(b, d), v128.load(s, 16), 0, false, inputs);
    }
  }
  v128.store(left, l);
  v128.store(right, r);
}

/** `count` groups of a panel times a token, added to its outputs; each case exported for the reason in table.ts. */
export function fewTwo(less: i32, at: usize, count: i32, s: usize, m: usize, inputs: usize, left: usize, right: usize, minima: bool, halves: bool, scratch: usize): void {
  groupsOf(false, false, less, at, count, s, m, inputs, left, right, minima, halves, scratch);
}
export function fewThree(less: i32, at: usize, count: i32, s: usize, m: usize, inputs: usize, left: usize, right: usize, minima: bool, halves: bool, scratch: usize): void {
  groupsOf(true, false, less, at, count, s, m, inputs, left, right, minima, halves, scratch);
}
export function fewTwoNarrow(less: i32, at: usize, count: i32, s: usize, m: usize, inputs: usize, left: usize, right: usize, minima: bool, halves: bool, scratch: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) groupsOf(false, true, less, at, count, s, m, inputs, left, right, minima, halves, scratch);
}
export function fewThreeNarrow(less: i32, at: usize, count: i32, s: usize, m: usize, inputs: usize, left: usize, right: usize, minima: bool, halves: bool, scratch: usize): void {
  if (ASC_FEATURE_RELAXED_SIMD) groupsOf(true, true, less, at, count, s, m, inputs, left, right, minima, halves, scratch);
}
