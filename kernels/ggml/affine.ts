/**
 * Q2_K, Q4_K, Q5_K. One sub-block per lane: every lane does the float operations of the plain codec
 * (src/formats/ggml) in the same order, so the bytes are the same.
 */
import { fromHalf, toHalf } from './half';
import { any, bytes16, round1, round4, transpose } from './lanes';
import { positiveScale } from './positive';

/** Values, weights and trial codes of four sub-blocks, one vector per index. */
const xs = memory.data(32 * 16, 16);
const ws = memory.data(32 * 16, 16);
const ls = memory.data(32 * 16, 16);
/** Results of up to 16 sub-blocks. */
const scales = memory.data(16 * 4, 16);
const mins = memory.data(16 * 4, 16);
const sums = memory.data(16 * 4, 16);
const scaleCodes = memory.data(16, 16);
const minCodes = memory.data(16, 16);

/** Σ weights·|error| or weights·error² of the codes in `ls`, four sub-blocks at once. */
// @ts-ignore: decorator
@inline
function errorOf(n: i32, scale: v128, min: v128, absolute: bool): v128 {
  let error = f32x4.splat(0);
  for (let p: usize = 0, end = <usize>n << 4; p < end; p += 32) {
    let diff = f32x4.sub(f32x4.add(f32x4.mul(scale, v128.load(ls + p)), min), v128.load(xs + p));
    error = f32x4.add(error, f32x4.mul(v128.load(ws + p), absolute ? f32x4.abs(diff) : f32x4.mul(diff, diff)));
    diff = f32x4.sub(f32x4.add(f32x4.mul(scale, v128.load(ls + p, 16)), min), v128.load(xs + p, 16));
    error = f32x4.add(error, f32x4.mul(v128.load(ws + p, 16), absolute ? f32x4.abs(diff) : f32x4.mul(diff, diff)));
  }
  return error;
}

/** The search of the plain `affineScale` over the four sub-blocks in `xs`, `ws`; writes four scales and negated minimums. */
// @ts-ignore: decorator
@inline
function search(n: i32, top: f32, first: f32, step: f32, last: i32, absolute: bool, scaleTo: usize, minTo: usize): void {
  const zero = f32x4.splat(0);
  const high = f32x4.splat(top);
  const bytes = <usize>n << 4;
  let min = v128.load(xs);
  let max = min;
  let sumW = v128.load(ws);
  let sumX = f32x4.mul(sumW, min);
  for (let p: usize = 16; p < bytes; p += 16) {
    const v = v128.load(xs + p);
    const w = v128.load(ws + p);
    min = f32x4.pmin(min, v);
    max = f32x4.pmax(max, v);
    sumW = f32x4.add(sumW, w);
    sumX = f32x4.add(sumX, f32x4.mul(w, v));
  }
  min = f32x4.pmin(zero, min);
  const live = f32x4.ge(f32x4.sub(max, min), f32x4.splat(reinterpret<f32>(0x0d800000)));
  if (!any(live)) {
    v128.store(scaleTo, zero);
    v128.store(minTo, f32x4.neg(min));
    return;
  }
  const start = min;
  let inverse = f32x4.div(high, f32x4.sub(max, min));
  let scale = f32x4.div(f32x4.splat(1), inverse);
  for (let p: usize = 0; p < bytes; p += 16) {
    v128.store(ls + p, round4(f32x4.mul(inverse, f32x4.sub(v128.load(xs + p), min)), zero, high));
  }
  let best = errorOf(n, scale, min, absolute);
  for (let t = 0; t <= last; t++) {
    inverse = f32x4.div(f32x4.splat(first + step * <f32>t + top), f32x4.sub(max, min));
    let sumL = zero, sumL2 = zero, sumXL = zero;
    for (let p: usize = 0; p < bytes; p += 32) {
      let v = v128.load(xs + p);
      let l = round4(f32x4.mul(inverse, f32x4.sub(v, min)), zero, high);
      v128.store(ls + p, l);
      let wl = f32x4.mul(v128.load(ws + p), l);
      sumL = f32x4.add(sumL, wl);
      sumL2 = f32x4.add(sumL2, f32x4.mul(wl, l));
      sumXL = f32x4.add(sumXL, f32x4.mul(wl, v));
      v = v128.load(xs + p, 16);
      l = round4(f32x4.mul(inverse, f32x4.sub(v, min)), zero, high);
      v128.store(ls + p, l, 16);
      wl = f32x4.mul(v128.load(ws + p, 16), l);
      sumL = f32x4.add(sumL, wl);
      sumL2 = f32x4.add(sumL2, f32x4.mul(wl, l));
      sumXL = f32x4.add(sumXL, f32x4.mul(wl, v));
    }
    const determinant = f32x4.sub(f32x4.mul(sumW, sumL2), f32x4.mul(sumL, sumL));
    let trialScale = f32x4.div(f32x4.sub(f32x4.mul(sumW, sumXL), f32x4.mul(sumX, sumL)), determinant);
    let trialMin = f32x4.div(f32x4.sub(f32x4.mul(sumL2, sumX), f32x4.mul(sumL, sumXL)), determinant);
    const positive = f32x4.gt(trialMin, zero);
    if (any(positive)) {
      trialScale = v128.bitselect(f32x4.div(sumXL, sumL2), trialScale, positive);
      trialMin = v128.andnot(trialMin, positive);
    }
    const error = errorOf(n, trialScale, trialMin, absolute);
    const better = v128.and(f32x4.gt(determinant, zero), f32x4.lt(error, best));
    best = v128.bitselect(error, best, better);
    scale = v128.bitselect(trialScale, scale, better);
    min = v128.bitselect(trialMin, min, better);
  }
  v128.store(scaleTo, v128.and(scale, live));
  v128.store(minTo, f32x4.neg(v128.bitselect(min, start, live)));
}

/** Codes of n values on the linear scale that maps their maximum to `top`; returns the step. */
function linearScale(values: usize, n: i32, top: f32, codes: usize): f32 {
  let max: f32 = 0;
  for (let j = 0; j < n; j++) {
    const v = load<f32>(values + (j << 2));
    if (v > max) max = v;
  }
  if (!(max > 0)) {
    memory.fill(codes, 0, n);
    return 0;
  }
  const inverse = top / max;
  for (let j = 0; j < n; j++) store<u8>(codes + j, <u8>round1(inverse * load<f32>(values + (j << 2)), 0, top));
  return max / top;
}

/** Σ x² of 256 values in index order. */
export function sumOfSquares(x: usize, n: i32): f32 {
  let sum: f32 = 0;
  for (let i = 0; i < n; i++) {
    const v = load<f32>(x + (<usize>i << 2));
    sum += v * v;
  }
  return sum;
}

/** Weights a·√(σ² + x²) of the four sub-blocks in `from`; their sums in index order go to `sumTo`. */
// @ts-ignore: decorator
@inline
export function importanceWeights(from: usize, to: usize, n: i32, a: usize, stride: usize, s2: v128, sumTo: usize): void {
  transpose(a, stride, n, to);
  let sum = f32x4.splat(0);
  for (let p: usize = 0; p < <usize>n << 4; p += 16) {
    const v = v128.load(from + p);
    const w = f32x4.mul(v128.load(to + p), f32x4.sqrt(f32x4.add(s2, f32x4.mul(v, v))));
    v128.store(to + p, w);
    sum = f32x4.add(sum, w);
  }
  v128.store(sumTo, sum);
}

/** 16 codes of values under a stored scale and minimum. */
// @ts-ignore: decorator
@inline
function codes16(x: usize, scale: v128, min: v128, high: v128): v128 {
  const zero = f32x4.splat(0);
  return bytes16(
    round4(f32x4.div(f32x4.add(v128.load(x), min), scale), zero, high),
    round4(f32x4.div(f32x4.add(v128.load(x, 16), min), scale), zero, high),
    round4(f32x4.div(f32x4.add(v128.load(x, 32), min), scale), zero, high),
    round4(f32x4.div(f32x4.add(v128.load(x, 48), min), scale), zero, high),
  );
}

/** Packs `blocks` super-blocks of Q2_K from x; `a` is the importance of their columns or 0. */
export function q2_k(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 1024, to += 84) {
    const sigma2: f32 = a ? sumOfSquares(x, 256) / 256 : 0;
    for (let g: usize = 0; g < 4; g++) {
      transpose(x + 256 * g, 64, 16, xs);
      if (a) {
        importanceWeights(xs, ws, 16, a + 256 * g, 64, f32x4.splat(sigma2), sums + 16 * g);
        search(16, 3, -0.9, 0.05, 36, false, scales + 16 * g, mins + 16 * g);
      } else {
        for (let p: usize = 0; p < 256; p += 16) v128.store(ws + p, f32x4.abs(v128.load(xs + p)));
        search(16, 3, -0.5, 0.1, 15, true, scales + 16 * g, mins + 16 * g);
      }
    }
    const d = toHalf(a ? positiveScale(scales, 16, 15, sums, scaleCodes) : linearScale(scales, 16, 15, scaleCodes));
    const dmin = toHalf(a ? positiveScale(mins, 16, 15, sums, minCodes) : linearScale(mins, 16, 15, minCodes));
    store<u16>(to + 80, <u16>d);
    store<u16>(to + 82, <u16>dmin);
    v128.store(to, v128.or(v128.load(scaleCodes), i16x8.shl(v128.load(minCodes), 4)));
    const step = fromHalf(d);
    const minStep = fromHalf(dmin);
    for (let j: usize = 0; j < 64; j += 16) v128.store(to + 16 + j, i8x16.splat(0));
    for (let j = 0; j < 16; j++) {
      const scale = step * <f32>load<u8>(scaleCodes + j);
      if (scale == 0) continue;
      const min = minStep * <f32>load<u8>(minCodes + j);
      const codes = codes16(x + (j << 6), f32x4.splat(scale), f32x4.splat(min), f32x4.splat(3));
      const q = to + 16 + ((j >> 3) << 5) + ((j & 1) << 4);
      v128.store(q, v128.or(v128.load(q), i16x8.shl(codes, j & 6)));
    }
    if (a) a += 1024;
  }
}

// @ts-ignore: decorator
@inline
function wide(x: usize, a: usize, to: usize, five: bool): void {
  const sigma2: f32 = a ? (2 * sumOfSquares(x, 256)) / 256 : 0;
  for (let g: usize = 0; g < 2; g++) {
    transpose(x + 512 * g, 128, 32, xs);
    if (a) {
      importanceWeights(xs, ws, 32, a + 512 * g, 128, f32x4.splat(sigma2), sums + 16 * g);
      search(32, five ? 31 : 15, -0.9, 0.05, 36, false, scales + 16 * g, mins + 16 * g);
    } else {
      let squares = f32x4.splat(0);
      for (let p: usize = 0; p < 512; p += 16) {
        const v = v128.load(xs + p);
        squares = f32x4.add(squares, f32x4.mul(v, v));
      }
      const rms = f32x4.sqrt(f32x4.div(squares, f32x4.splat(32)));
      for (let p: usize = 0; p < 512; p += 16) v128.store(ws + p, f32x4.add(rms, f32x4.abs(v128.load(xs + p))));
      if (five) search(32, 31, -0.5, 0.1, 15, false, scales + 16 * g, mins + 16 * g);
      else search(32, 15, -1, 0.1, 20, false, scales + 16 * g, mins + 16 * g);
    }
  }
  const d = toHalf(a ? positiveScale(scales, 8, 63, sums, scaleCodes) : linearScale(scales, 8, 63, scaleCodes));
  const dmin = toHalf(a ? positiveScale(mins, 8, 63, sums, minCodes) : linearScale(mins, 8, 63, minCodes));
  store<u16>(to, <u16>d);
  store<u16>(to, <u16>dmin, 2);
  const sc = load<u32>(scaleCodes), sc4 = load<u32>(scaleCodes, 4);
  const m = load<u32>(minCodes), m4 = load<u32>(minCodes, 4);
  store<u32>(to, sc | ((sc4 & 0x30303030) << 2), 4);
  store<u32>(to, m | ((m4 & 0x30303030) << 2), 8);
  store<u32>(to, (sc4 & 0x0f0f0f0f) | ((m4 & 0x0f0f0f0f) << 4), 12);
  const step = fromHalf(d);
  const minStep = fromHalf(dmin);
  const high = f32x4.splat(five ? 31 : 15);
  const nibble = i8x16.splat(15);
  const bit = i8x16.splat(1);
  const quants = to + (five ? 48 : 16);
  for (let part: usize = 0; part < 2; part++) {
    let fifth = i8x16.splat(0);
    let low = fifth;
    for (let j = 0; j < 8; j++) {
      const scale = step * <f32>load<u8>(scaleCodes + j);
      let codes = i8x16.splat(0);
      if (scale != 0) {
        const min = minStep * <f32>load<u8>(minCodes + j);
        codes = codes16(x + (j << 7) + (part << 6), f32x4.splat(scale), f32x4.splat(min), high);
      }
      if (five) {
        fifth = v128.or(fifth, i16x8.shl(v128.and(i16x8.shr_u(codes, 4), bit), j));
        codes = v128.and(codes, nibble);
      }
      if (j & 1) v128.store(quants + ((j >> 1) << 5) + (part << 4), v128.or(low, i16x8.shl(codes, 4)));
      else low = codes;
    }
    if (five) v128.store(to + 16 + (part << 4), fifth);
  }
}

/** Packs `blocks` super-blocks of Q4_K from x; `a` is the importance of their columns or 0. */
export function q4_k(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 1024, to += 144) {
    wide(x, a, to, false);
    if (a) a += 1024;
  }
}

/** Packs `blocks` super-blocks of Q5_K. */
export function q5_k(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 1024, to += 176) {
    wide(x, a, to, true);
    if (a) a += 1024;
  }
}
