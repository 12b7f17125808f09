/** IQ4_NL and IQ4_XS; one block of 32 per lane in the search. */
import { importanceWeights, sumOfSquares } from './affine';
import { toHalf } from './half';
import { round1, transpose } from './lanes';

const xs = memory.data(32 * 16, 16);
const ws = memory.data(32 * 16, 16);
/** The two levels an element can take over the trials, and their midpoint. */
const lows = memory.data(32 * 16, 16);
const highs = memory.data(32 * 16, 16);
const middles = memory.data(32 * 16, 16);
const scales = memory.data(8 * 4, 16);
const sums = memory.data(8 * 4, 16);

/** b where v reaches the midpoint, else 0: one step of the sum over midpoints. */
// @ts-ignore: decorator
@inline
function step(v: v128, midpoint: f32, rise: f32): v128 {
  return v128.and(f32x4.ge(v, f32x4.splat(midpoint)), f32x4.splat(rise));
}

/** The level nearest to v; a midpoint belongs to the upper level. All sums are whole and exact. */
// @ts-ignore: decorator
@inline
function level(v: v128): v128 {
  let a = f32x4.add(f32x4.splat(-127), step(v, -115.5, 23));
  let b = f32x4.add(step(v, -93.5, 21), step(v, -74, 18));
  let c = f32x4.add(step(v, -57, 16), step(v, -42, 14));
  let d = f32x4.add(step(v, -28.5, 13), step(v, -16, 12));
  a = f32x4.add(a, step(v, -4.5, 11));
  b = f32x4.add(b, f32x4.add(step(v, 7, 12), step(v, 19, 12)));
  c = f32x4.add(c, f32x4.add(step(v, 31.5, 13), step(v, 45.5, 15)));
  d = f32x4.add(d, f32x4.add(step(v, 61, 16), step(v, 79, 20)));
  a = f32x4.add(a, step(v, 101, 24));
  return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
}

// @ts-ignore: decorator
@inline
function count(v: v128, midpoint: f32): v128 {
  return f32x4.ge(v, f32x4.splat(midpoint));
}

/** The codes of v as negative 32-bit integers. */
// @ts-ignore: decorator
@inline
function code(v: v128): v128 {
  let a = i32x4.add(count(v, -115.5), count(v, -93.5));
  let b = i32x4.add(count(v, -74), count(v, -57));
  let c = i32x4.add(count(v, -42), count(v, -28.5));
  let d = i32x4.add(count(v, -16), count(v, -4.5));
  a = i32x4.add(a, i32x4.add(count(v, 7), count(v, 19)));
  b = i32x4.add(b, i32x4.add(count(v, 31.5), count(v, 45.5)));
  c = i32x4.add(c, i32x4.add(count(v, 61), count(v, 79)));
  d = i32x4.add(d, count(v, 101));
  return i32x4.add(i32x4.add(a, b), i32x4.add(c, d));
}

/**
 * The plain `search` over the four blocks in `xs` and `ws`; stores four scales.
 * Over the 15 trials the inverse scale shrinks by 134/120, less than the ratio of any two neighbouring midpoints
 * of one sign, so an element crosses one midpoint at most: its level is that of the first trial or of the last.
 */
function search(to: usize): void {
  const zero = f32x4.splat(0);
  let amax = zero, max = zero;
  for (let p: usize = 0; p < 512; p += 16) {
    const v = v128.load(xs + p);
    const larger = f32x4.gt(f32x4.abs(v), amax);
    amax = f32x4.pmax(amax, f32x4.abs(v));
    max = v128.bitselect(v, max, larger);
  }
  const live = f32x4.ge(amax, f32x4.splat(1e-15));
  if (!v128.any_true(live)) {
    v128.store(to, zero);
    return;
  }
  let inverse = f32x4.div(f32x4.splat(1), f32x4.div(max, f32x4.splat(127)));
  let sumqx = zero, sumq2 = zero;
  const first = f32x4.div(f32x4.splat(-134), max);
  const last = f32x4.div(f32x4.splat(-120), max);
  const half = f32x4.splat(0.5);
  for (let p: usize = 0; p < 512; p += 16) {
    const v = v128.load(xs + p);
    const q = level(f32x4.mul(inverse, v));
    const wq = f32x4.mul(v128.load(ws + p), q);
    sumqx = f32x4.add(sumqx, f32x4.mul(wq, v));
    sumq2 = f32x4.add(sumq2, f32x4.mul(wq, q));
    const far = level(f32x4.mul(first, v)), near = level(f32x4.mul(last, v));
    v128.store(lows + p, f32x4.pmin(far, near));
    v128.store(highs + p, f32x4.pmax(far, near));
    v128.store(middles + p, f32x4.mul(half, f32x4.add(far, near)));
  }
  let d = v128.and(f32x4.div(sumqx, sumq2), f32x4.gt(sumq2, zero));
  let best = f32x4.mul(d, sumqx);
  for (let t = -7; t <= 7; t++) {
    inverse = f32x4.div(f32x4.splat(<f32>(t - 127)), max);
    sumqx = zero;
    sumq2 = zero;
    for (let p: usize = 0; p < 512; p += 16) {
      const v = v128.load(xs + p);
      const q = v128.bitselect(v128.load(highs + p), v128.load(lows + p), f32x4.ge(f32x4.mul(inverse, v), v128.load(middles + p)));
      const wq = f32x4.mul(v128.load(ws + p), q);
      sumqx = f32x4.add(sumqx, f32x4.mul(wq, v));
      sumq2 = f32x4.add(sumq2, f32x4.mul(wq, q));
    }
    const better = v128.and(f32x4.gt(sumq2, zero), f32x4.gt(f32x4.mul(sumqx, sumqx), f32x4.mul(best, sumq2)));
    const quotient = f32x4.div(sumqx, sumq2);
    d = v128.bitselect(quotient, d, better);
    best = v128.bitselect(f32x4.mul(quotient, sumqx), best, better);
  }
  v128.store(to, v128.and(d, live));
}

/** Packs 32 values under an inverse scale. */
// @ts-ignore: decorator
@inline
function pack(x: usize, inverse: f32, to: usize): void {
  const s = f32x4.splat(inverse);
  const low = codes16(x, s);
  const high = codes16(x + 64, s);
  v128.store(to, v128.or(low, i16x8.shl(high, 4)));
}

/** The codes of 16 values under an inverse scale. */
// @ts-ignore: decorator
@inline
function codes16(x: usize, inverse: v128): v128 {
  return i8x16.neg(i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(code(f32x4.mul(inverse, v128.load(x))), code(f32x4.mul(inverse, v128.load(x, 16)))),
    i16x8.narrow_i32x4_s(code(f32x4.mul(inverse, v128.load(x, 32))), code(f32x4.mul(inverse, v128.load(x, 48)))),
  ));
}

// @ts-ignore: decorator
@inline
function squareWeights(): void {
  for (let p: usize = 0; p < 512; p += 16) v128.store(ws + p, f32x4.mul(v128.load(xs + p), v128.load(xs + p)));
}

/** Packs `blocks` (a multiple of 4) blocks of IQ4_NL from x; `a` is the importance of their columns or 0. */
export function iq4_nl(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b += 4, x += 512, to += 72) {
    transpose(x, 128, 32, xs, 16);
    if (a) {
      // The mean square of each block, doubled.
      let squares = f32x4.splat(0);
      for (let p: usize = 0; p < 512; p += 16) {
        const v = v128.load(xs + p);
        squares = f32x4.add(squares, f32x4.mul(v, v));
      }
      importanceWeights(xs, ws, 32, a, 128, f32x4.mul(squares, f32x4.splat(0.0625)), sums, 16);
      a += 512;
    } else squareWeights();
    search(scales);
    for (let j: usize = 0; j < 4; j++) {
      const d = load<f32>(scales + (j << 2));
      store<u16>(to + 18 * j, <u16>toHalf(d));
      pack(x + 128 * j, d == 0 ? 0 : <f32>1 / d, to + 18 * j + 2);
    }
  }
}

/** Packs `blocks` super-blocks of IQ4_XS. */
export function iq4_xs(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 1024, to += 136) {
    const sigma2: f32 = a ? sumOfSquares(x, 256) * 0.0078125 : 0;
    for (let g: usize = 0; g < 2; g++) {
      transpose(x + 512 * g, 128, 32, xs, 16);
      if (a) importanceWeights(xs, ws, 32, a + 512 * g, 128, f32x4.splat(sigma2), sums, 16);
      else squareWeights();
      search(scales + 16 * g);
    }
    if (a) a += 1024;
    let max: f32 = 0;
    for (let p: usize = 0; p < 32; p += 4) {
      const scale = load<f32>(scales + p);
      if (abs(scale) > abs(max)) max = scale;
    }
    const d: f32 = -max / 32;
    const inverse: f32 = d == 0 ? 0 : <f32>1 / d;
    store<u16>(to, <u16>toHalf(d));
    let low: u32 = 0, high: u32 = 0;
    for (let j = 0; j < 8; j++) {
      const scale = round1(inverse * load<f32>(scales + (j << 2)), -32, 31);
      const step: f32 = d * scale;
      pack(x + (j << 7), step == 0 ? 0 : <f32>1 / step, to + 8 + (j << 4));
      const stored = <u32>(<i32>scale + 32);
      low |= (stored & 15) << (j << 2);
      high |= (stored >> 4) << (j << 1);
    }
    store<u16>(to, <u16>high, 2);
    store<u32>(to, low, 4);
  }
}
