/**
 * Q4_0, Q4_1, Q5_0, Q5_1, Q8_0: one block at a time without importance; Q4_0 and Q5_0 with it, four blocks side by side.
 * Extremes do not depend on the order of comparison except in ties, which go to a plain loop.
 */
import { sumOfSquares } from './affine';
import { toHalf } from './half';
import { bytes16 } from './lanes';
import { importanceBlocks } from './signed';

const codes = memory.data(128, 16);
const scales = memory.data(16, 16);

/** Smallest and largest of the last block looked at. */
let min: f32 = 0;
let max: f32 = 0;

// @ts-ignore: decorator
@inline
function range(x: usize): void {
  const a = v128.load(x), b = v128.load(x, 16), c = v128.load(x, 32), d = v128.load(x, 48);
  const e = v128.load(x, 64), f = v128.load(x, 80), g = v128.load(x, 96), h = v128.load(x, 112);
  let low = f32x4.pmin(
    f32x4.pmin(f32x4.pmin(a, b), f32x4.pmin(c, d)), f32x4.pmin(f32x4.pmin(e, f), f32x4.pmin(g, h)));
  let high = f32x4.pmax(
    f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)), f32x4.pmax(f32x4.pmax(e, f), f32x4.pmax(g, h)));
  low = f32x4.pmin(low, i32x4.shuffle(low, low, 2, 3, 0, 1));
  low = f32x4.pmin(low, i32x4.shuffle(low, low, 1, 0, 3, 2));
  high = f32x4.pmax(high, i32x4.shuffle(high, high, 2, 3, 0, 1));
  high = f32x4.pmax(high, i32x4.shuffle(high, high, 1, 0, 3, 2));
  min = f32x4.extract_lane(low, 0);
  max = f32x4.extract_lane(high, 0);
}

/** The element of largest magnitude, with its sign; the first of equals. */
// @ts-ignore: decorator
@inline
function extreme(x: usize): f32 {
  range(x);
  if (max > -min) return max;
  if (-min > max) return min;
  return firstExtreme(x);
}

function firstExtreme(x: usize): f32 {
  let amax: f32 = 0;
  let value: f32 = 0;
  for (let p = x; p < x + 128; p += 4) {
    const v = load<f32>(p);
    if (abs(v) > amax) {
      amax = abs(v);
      value = v;
    }
  }
  return value;
}

/** Sixteen codes trunc(v·inverse + shift) of v = x − from, limited to [0, top]; NaN gives 0. */
// @ts-ignore: decorator
@inline
function codes16(x: usize, from: v128, inverse: v128, shift: v128, top: v128): v128 {
  return bytes16(
    whole(v128.load(x), from, inverse, shift, top), whole(v128.load(x, 16), from, inverse, shift, top),
    whole(v128.load(x, 32), from, inverse, shift, top), whole(v128.load(x, 48), from, inverse, shift, top),
  );
}

// @ts-ignore: decorator
@inline
function whole(x: v128, from: v128, inverse: v128, shift: v128, top: v128): v128 {
  const v = f32x4.add(f32x4.mul(f32x4.sub(x, from), inverse), shift);
  return f32x4.trunc(f32x4.pmin(top, f32x4.pmax(f32x4.splat(0), v)));
}

/** Low nibbles hold elements 0 … 15, high nibbles 16 … 31; the fifth bits go before them, one bit per element. */
// @ts-ignore: decorator
@inline
function pack(low: v128, high: v128, five: bool, to: usize): void {
  if (five) {
    store<u16>(to, <u16>i8x16.bitmask(i8x16.shl(low, 3)));
    store<u16>(to, <u16>i8x16.bitmask(i8x16.shl(high, 3)), 2);
    const nibble = i8x16.splat(15);
    low = v128.and(low, nibble);
    high = v128.and(high, nibble);
  }
  v128.store(to + (five ? 4 : 0), v128.or(low, i16x8.shl(high, 4)));
}

// @ts-ignore: decorator
@inline
function symmetric(x: usize, blocks: i32, a: usize, to: usize, levels: f32, five: bool): void {
  const blockBytes: usize = five ? 22 : 18;
  if (a) {
    const sigma2 = sumOfSquares(x, blocks << 5) / <f32>(blocks << 5);
    for (let b = 0; b < blocks; b += 4, x += 512, a += 512) {
      importanceBlocks(x, a, sigma2, levels, scales, codes);
      for (let j: usize = 0; j < 4; j++, to += blockBytes) {
        store<u16>(to, <u16>toHalf(load<f32>(scales + (j << 2))));
        pack(v128.load(codes + (j << 5)), v128.load(codes + (j << 5), 16), five, to + 2);
      }
    }
    return;
  }
  const zero = f32x4.splat(0);
  const shift = f32x4.splat(levels + 0.5);
  const top = f32x4.splat(2 * levels - 1);
  for (let b = 0; b < blocks; b++, x += 128, to += blockBytes) {
    const d = extreme(x) / -levels;
    const inverse = f32x4.splat(d == 0 ? 0 : <f32>1 / d);
    store<u16>(to, <u16>toHalf(d));
    pack(codes16(x, zero, inverse, shift, top), codes16(x + 64, zero, inverse, shift, top), five, to + 2);
  }
}

// @ts-ignore: decorator
@inline
function affine(x: usize, blocks: i32, to: usize, last: f32, five: bool): void {
  const half = f32x4.splat(0.5);
  const top = f32x4.splat(last);
  for (let b = 0; b < blocks; b++, x += 128, to += five ? 24 : 20) {
    range(x);
    if (min == 0) {
      // Zeros have signs, and the first one is stored.
      for (let p = x; ; p += 4) {
        min = load<f32>(p);
        if (min == 0) break;
      }
      if (max == 0) max = min;
    }
    const d = (max - min) / last;
    const from = f32x4.splat(min);
    const inverse = f32x4.splat(d == 0 ? 0 : <f32>1 / d);
    store<u16>(to, <u16>toHalf(d));
    store<u16>(to, <u16>toHalf(min), 2);
    pack(codes16(x, from, inverse, half, top), codes16(x + 64, from, inverse, half, top), five, to + 4);
  }
}

/** Packs blocks from x; `a` is the importance of their columns, one whole row of them, or 0. */
export function q4_0(x: usize, blocks: i32, a: usize, to: usize): void {
  symmetric(x, blocks, a, to, 8, false);
}

export function q5_0(x: usize, blocks: i32, a: usize, to: usize): void {
  symmetric(x, blocks, a, to, 16, true);
}

export function q4_1(x: usize, blocks: i32, _a: usize, to: usize): void {
  affine(x, blocks, to, 15, false);
}

export function q5_1(x: usize, blocks: i32, _a: usize, to: usize): void {
  affine(x, blocks, to, 31, true);
}

/** Nearest whole number, ties away from zero; zero for what is not finite. */
// @ts-ignore: decorator
@inline
function away(x: v128, inverse: v128): v128 {
  const v = f32x4.mul(x, inverse);
  const a = f32x4.abs(v);
  const t = f32x4.trunc(a);
  const r = f32x4.add(t, v128.and(f32x4.ge(f32x4.sub(a, t), f32x4.splat(0.5)), f32x4.splat(1)));
  const signed = v128.bitselect(v, r, i32x4.splat(0x80000000));
  // Adding 1.5 · 2^23 leaves the integer in the low bits of the pattern.
  return v128.and(
    i32x4.sub(f32x4.add(signed, f32x4.splat(12582912)), i32x4.splat(0x4b400000)), f32x4.lt(a, f32x4.splat(Infinity)));
}

export function q8_0(x: usize, blocks: i32, _a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 128, to += 34) {
    range(x);
    const d = abs(max > -min ? max : -min) / 127;
    const inverse = f32x4.splat(d == 0 ? 0 : <f32>1 / d);
    store<u16>(to, <u16>toHalf(d));
    for (let i: usize = 0; i < 2; i++) {
      const p = x + (i << 6);
      v128.store(to + 2 + (i << 4), i8x16.narrow_i16x8_s(
        i16x8.narrow_i32x4_s(away(v128.load(p), inverse), away(v128.load(p, 16), inverse)),
        i16x8.narrow_i32x4_s(away(v128.load(p, 32), inverse), away(v128.load(p, 48), inverse)),
      ));
    }
  }
}
