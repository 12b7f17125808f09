/**
 * Q2_K, Q4_K, Q5_K. One sub-block per lane: every lane does the float operations of the plain codec
 * (src/formats/ggml) in the same order, so the bytes are the same.
 */
import { fromHalf, toHalf } from './half';
import { any, bytes16, round1, round4, transpose } from './lanes';
import { positiveScale } from './positive';

/** Values, weights and trial codes of eight sub-blocks, two vectors per index. */
const xs = memory.data(32 * 32, 16);
const ws = memory.data(32 * 32, 16);
const ls = memory.data(32 * 32, 16);
/** Minimums, maximums, Σw and Σwx of eight sub-blocks. */
const measured = memory.data(8 * 16, 16);
/** Results of up to 16 sub-blocks. */
const scales = memory.data(16 * 4, 16);
const mins = memory.data(16 * 4, 16);
const sums = memory.data(16 * 4, 16);
const scaleCodes = memory.data(16, 16);
const minCodes = memory.data(16, 16);

/** weights·|error| or weights·error² of one vector of codes. */
// @ts-ignore: decorator
@inline
function errorOf(p: usize, scale: v128, min: v128, absolute: bool): v128 {
  const diff = f32x4.sub(f32x4.add(f32x4.mul(scale, v128.load(ls + p)), min), v128.load(xs + p));
  return f32x4.mul(v128.load(ws + p), absolute ? f32x4.abs(diff) : f32x4.mul(diff, diff));
}

/** Codes of one vector of values. */
// @ts-ignore: decorator
@inline
function codesOf(v: v128, inverse: v128, min: v128, high: v128): v128 {
  return round4(f32x4.mul(inverse, f32x4.sub(v, min)), f32x4.splat(0), high);
}

/** Smallest value (at most 0), largest value, Σw and Σwx of the four sub-blocks whose vectors begin at xs + g and ws + g. */
// @ts-ignore: decorator
@inline
function measure(n: i32, g: usize): void {
  let min = v128.load(xs + g);
  let max = min;
  let sumW = v128.load(ws + g);
  let sumX = f32x4.mul(sumW, min);
  for (let p: usize = g + 32; p < <usize>n << 5; p += 32) {
    const v = v128.load(xs + p);
    const w = v128.load(ws + p);
    min = f32x4.pmin(min, v);
    max = f32x4.pmax(max, v);
    sumW = f32x4.add(sumW, w);
    sumX = f32x4.add(sumX, f32x4.mul(w, v));
  }
  v128.store(measured + g, f32x4.pmin(f32x4.splat(0), min));
  v128.store(measured + g, max, 32);
  v128.store(measured + g, sumW, 64);
  v128.store(measured + g, sumX, 96);
}

/**
 * The search of the plain `affineScale` over the eight sub-blocks in `xs`, `ws`; writes eight scales and negated minimums.
 * Its steps wait for each other, so that two vectors of sub-blocks go through it side by side.
 */
// @ts-ignore: decorator
@inline
function search(n: i32, top: f32, first: f32, step: f32, last: i32, absolute: bool, scaleTo: usize, minTo: usize): void {
  const zero = f32x4.splat(0);
  const high = f32x4.splat(top);
  const bytes = <usize>n << 5;
  measure(n, 0);
  measure(n, 16);
  let minA = v128.load(measured), minB = v128.load(measured, 16);
  const maxA = v128.load(measured, 32), maxB = v128.load(measured, 48);
  const narrow = f32x4.splat(reinterpret<f32>(0x0d800000));
  const liveA = f32x4.ge(f32x4.sub(maxA, minA), narrow), liveB = f32x4.ge(f32x4.sub(maxB, minB), narrow);
  if (!any(v128.or(liveA, liveB))) {
    v128.store(scaleTo, zero);
    v128.store(scaleTo, zero, 16);
    v128.store(minTo, f32x4.neg(minA));
    v128.store(minTo, f32x4.neg(minB), 16);
    return;
  }
  let inverseA = f32x4.div(high, f32x4.sub(maxA, minA)), inverseB = f32x4.div(high, f32x4.sub(maxB, minB));
  let scaleA = f32x4.div(f32x4.splat(1), inverseA), scaleB = f32x4.div(f32x4.splat(1), inverseB);
  let bestA = zero, bestB = zero;
  for (let p: usize = 0; p < bytes; p += 32) {
    v128.store(ls + p, codesOf(v128.load(xs + p), inverseA, minA, high));
    v128.store(ls + p, codesOf(v128.load(xs + p, 16), inverseB, minB, high), 16);
    bestA = f32x4.add(bestA, errorOf(p, scaleA, minA, absolute));
    bestB = f32x4.add(bestB, errorOf(p + 16, scaleB, minB, absolute));
  }
  for (let t = 0; t <= last; t++) {
    const tops = f32x4.splat(first + step * <f32>t + top);
    inverseA = f32x4.div(tops, f32x4.sub(maxA, minA)), inverseB = f32x4.div(tops, f32x4.sub(maxB, minB));
    let lA = zero, lB = zero, l2A = zero, l2B = zero, xlA = zero, xlB = zero;
    for (let p: usize = 0; p < bytes; p += 32) {
      let v = v128.load(xs + p);
      let l = codesOf(v, inverseA, minA, high);
      v128.store(ls + p, l);
      let wl = f32x4.mul(v128.load(ws + p), l);
      lA = f32x4.add(lA, wl);
      l2A = f32x4.add(l2A, f32x4.mul(wl, l));
      xlA = f32x4.add(xlA, f32x4.mul(wl, v));
      v = v128.load(xs + p, 16);
      l = codesOf(v, inverseB, minB, high);
      v128.store(ls + p, l, 16);
      wl = f32x4.mul(v128.load(ws + p, 16), l);
      lB = f32x4.add(lB, wl);
      l2B = f32x4.add(l2B, f32x4.mul(wl, l));
      xlB = f32x4.add(xlB, f32x4.mul(wl, v));
    }
    const wA = v128.load(measured, 64), xA = v128.load(measured, 96);
    const determinantA = f32x4.sub(f32x4.mul(wA, l2A), f32x4.mul(lA, lA));
    let trialScaleA = f32x4.div(f32x4.sub(f32x4.mul(wA, xlA), f32x4.mul(xA, lA)), determinantA);
    let trialMinA = f32x4.div(f32x4.sub(f32x4.mul(l2A, xA), f32x4.mul(lA, xlA)), determinantA);
    const wB = v128.load(measured, 80), xB = v128.load(measured, 112);
    const determinantB = f32x4.sub(f32x4.mul(wB, l2B), f32x4.mul(lB, lB));
    let trialScaleB = f32x4.div(f32x4.sub(f32x4.mul(wB, xlB), f32x4.mul(xB, lB)), determinantB);
    let trialMinB = f32x4.div(f32x4.sub(f32x4.mul(l2B, xB), f32x4.mul(lB, xlB)), determinantB);
    const positiveA = f32x4.gt(trialMinA, zero), positiveB = f32x4.gt(trialMinB, zero);
    if (any(v128.or(positiveA, positiveB))) {
      trialScaleA = v128.bitselect(f32x4.div(xlA, l2A), trialScaleA, positiveA);
      trialScaleB = v128.bitselect(f32x4.div(xlB, l2B), trialScaleB, positiveB);
      trialMinA = v128.andnot(trialMinA, positiveA);
      trialMinB = v128.andnot(trialMinB, positiveB);
    }
    let errorA = zero, errorB = zero;
    for (let p: usize = 0; p < bytes; p += 64) {
      errorA = f32x4.add(errorA, errorOf(p, trialScaleA, trialMinA, absolute));
      errorB = f32x4.add(errorB, errorOf(p + 16, trialScaleB, trialMinB, absolute));
      errorA = f32x4.add(errorA, errorOf(p + 32, trialScaleA, trialMinA, absolute));
      errorB = f32x4.add(errorB, errorOf(p + 48, trialScaleB, trialMinB, absolute));
    }
    const betterA = v128.and(f32x4.gt(determinantA, zero), f32x4.lt(errorA, bestA));
    const betterB = v128.and(f32x4.gt(determinantB, zero), f32x4.lt(errorB, bestB));
    if (!any(v128.or(betterA, betterB))) continue;
    bestA = v128.bitselect(errorA, bestA, betterA);
    scaleA = v128.bitselect(trialScaleA, scaleA, betterA);
    minA = v128.bitselect(trialMinA, minA, betterA);
    bestB = v128.bitselect(errorB, bestB, betterB);
    scaleB = v128.bitselect(trialScaleB, scaleB, betterB);
    minB = v128.bitselect(trialMinB, minB, betterB);
  }
  v128.store(scaleTo, v128.and(scaleA, liveA));
  v128.store(scaleTo, v128.and(scaleB, liveB), 16);
  v128.store(minTo, f32x4.neg(v128.bitselect(minA, v128.load(measured), liveA)));
  v128.store(minTo, f32x4.neg(v128.bitselect(minB, v128.load(measured, 16), liveB)), 16);
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

/** Weights a·√(σ² + x²) of the four sub-blocks whose vectors lie `pitch` bytes apart; their sums in index order go to `sumTo`. */
// @ts-ignore: decorator
@inline
export function importanceWeights(from: usize, to: usize, n: i32, a: usize, stride: usize, s2: v128, sumTo: usize, pitch: usize): void {
  transpose(a, stride, n, to, pitch);
  let sum = f32x4.splat(0);
  for (let p: usize = 0; p < <usize>n * pitch; p += pitch) {
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
    for (let h: usize = 0; h < 2; h++) {
      transpose(x + 512 * h, 64, 16, xs, 32);
      transpose(x + 512 * h + 256, 64, 16, xs + 16, 32);
      if (a) {
        importanceWeights(xs, ws, 16, a + 512 * h, 64, f32x4.splat(sigma2), sums + 32 * h, 32);
        importanceWeights(xs + 16, ws + 16, 16, a + 512 * h + 256, 64, f32x4.splat(sigma2), sums + 32 * h + 16, 32);
        search(16, 3, -0.9, 0.05, 36, false, scales + 32 * h, mins + 32 * h);
      } else {
        for (let p: usize = 0; p < 512; p += 16) v128.store(ws + p, f32x4.abs(v128.load(xs + p)));
        search(16, 3, -0.5, 0.1, 15, true, scales + 32 * h, mins + 32 * h);
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
  transpose(x, 128, 32, xs, 32);
  transpose(x + 512, 128, 32, xs + 16, 32);
  if (a) {
    importanceWeights(xs, ws, 32, a, 128, f32x4.splat(sigma2), sums, 32);
    importanceWeights(xs + 16, ws + 16, 32, a + 512, 128, f32x4.splat(sigma2), sums + 16, 32);
    search(32, five ? 31 : 15, -0.9, 0.05, 36, false, scales, mins);
  } else {
    for (let g: usize = 0; g < 32; g += 16) {
      let squares = f32x4.splat(0);
      for (let p = g; p < 1024; p += 32) {
        const v = v128.load(xs + p);
        squares = f32x4.add(squares, f32x4.mul(v, v));
      }
      const rms = f32x4.sqrt(f32x4.div(squares, f32x4.splat(32)));
      for (let p = g; p < 1024; p += 32) v128.store(ws + p, f32x4.add(rms, f32x4.abs(v128.load(xs + p))));
    }
    if (five) search(32, 31, -0.5, 0.1, 15, false, scales, mins);
    else search(32, 15, -1, 0.1, 20, false, scales, mins);
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
