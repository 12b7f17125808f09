/**
 * Convolutions and products with matrices, four positions and eight outputs at a time. Inputs lie channels last, so that what
 * a row of a window covers is one run of memory; a step of a run is four bytes: two codes of 16 bits, four of 8 in the build with
 * relaxed dot products, or one float. Weights are [outputs / 8][rows][runs][steps][8 outputs][4 bytes].
 */
import { codes, real, sidesBytes, storeCodes, storeFloats } from './sides';

// @ts-ignore: decorator
@inline
function plus(floats: bool, sum: v128, x: usize, w: v128): v128 {
  const four = v128.load32_splat(x);
  if (floats) return f32x4.add(sum, f32x4.mul(four, w));
  return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(w, four, sum) : i32x4.add(sum, i32x4.dot_i16x8_s(four, w));
}

/** What happens to sums: codes, floats made of integers, or floats as they are. */
// @ts-ignore: decorator
@inline
function leave(floats: bool, asFloats: bool, first: v128, second: v128, sides: usize, zero: v128, low: v128, high: v128, to: usize, count: i32): void {
  if (floats) storeFloats(to, first, second, count);
  else if (asFloats) storeFloats(to, real(first, sides), real(second, sides + 16), count);
  else storeCodes(to, codes(first, second, sides, zero, low, high), count);
}

/** Positions of outX a row lie `right` bytes apart, rows `down`; runs of a window `apart`, its rows `below`. Results of a position lie together, `stride` bytes from the next. */
// @ts-ignore: decorator
@inline
function convolveAs(
  floats: bool, x: usize, w: usize, sides: usize, outputs: i32, positions: i32, outX: i32, rows: i32, runs: i32, steps: i32,
  apart: i32, below: i32, right: i32, down: i32, out: usize, stride: i32, asFloats: bool, zeroPoint: i32, least: i32, most: i32,
): void {
  const zero = i16x8.splat(<i16>zeroPoint), low = i8x16.splat(<i8>least), high = i8x16.splat(<i8>most);
  const weights = <usize>(rows * runs * steps) << 5;
  const last = positions - 1;
  const width: usize = floats || asFloats ? 4 : 1;
  for (let o = 0; o < outputs; o += 8, w += weights, sides += sidesBytes) {
    const count = min(8, outputs - o);
    const first = v128.load(sides), second = v128.load(sides, 16);
    let line = x, next = x, column = 0;
    for (let position = 0; position < positions; position += 4) {
      const pa = next;
      let pb = pa, pc = pa, pd = pa;
      if (position < last) { if (++column == outX) { column = 0; line += down; next = line; } else next += right; pb = pc = pd = next; }
      if (position + 1 < last) { if (++column == outX) { column = 0; line += down; next = line; } else next += right; pc = pd = next; }
      if (position + 2 < last) { if (++column == outX) { column = 0; line += down; next = line; } else next += right; pd = next; }
      if (position + 3 < last) { if (++column == outX) { column = 0; line += down; next = line; } else next += right; }
      const toB = pb - pa, toC = pc - pa, toD = pd - pa;
      let a = first, b = first, c = first, d = first, e = second, f = second, g = second, h = second;
      let k = w;
      let from = pa;
      for (let row = 0; row < rows; row++, from += below) {
        let run = from;
        for (let i = 0; i < runs; i++, run += apart) {
          const end = run + (<usize>steps << 2);
          for (let p = run; p < end; p += 4, k += 32) {
            const u = v128.load(k), v = v128.load(k, 16);
            a = plus(floats, a, p, u); e = plus(floats, e, p, v);
            b = plus(floats, b, p + toB, u); f = plus(floats, f, p + toB, v);
            c = plus(floats, c, p + toC, u); g = plus(floats, g, p + toC, v);
            d = plus(floats, d, p + toD, u); h = plus(floats, h, p + toD, v);
          }
        }
      }
      let to = out + <usize>o * width + <usize>position * stride;
      leave(floats, asFloats, a, e, sides, zero, low, high, to, count);
      if (position < last) leave(floats, asFloats, b, f, sides, zero, low, high, to += stride, count);
      if (position + 1 < last) leave(floats, asFloats, c, g, sides, zero, low, high, to += stride, count);
      if (position + 2 < last) leave(floats, asFloats, d, h, sides, zero, low, high, to += stride, count);
    }
  }
}

/** Codes to codes. */
export function convolve(x: usize, w: usize, sides: usize, outputs: i32, positions: i32, outX: i32, rows: i32, runs: i32, steps: i32, apart: i32, below: i32, right: i32, down: i32, out: usize, stride: i32, zero: i32, low: i32, high: i32): void {
  convolveAs(false, x, w, sides, outputs, positions, outX, rows, runs, steps, apart, below, right, down, out, stride, false, zero, low, high);
}

/** Codes to floats. */
export function convolveToFloats(x: usize, w: usize, sides: usize, outputs: i32, positions: i32, outX: i32, rows: i32, runs: i32, steps: i32, apart: i32, below: i32, right: i32, down: i32, out: usize, stride: i32): void {
  convolveAs(false, x, w, sides, outputs, positions, outX, rows, runs, steps, apart, below, right, down, out, stride, true, 0, 0, 0);
}

/** Floats to floats: each sum in the order of its window, multiplication and addition rounded by themselves. */
export function convolveFloats(x: usize, w: usize, sides: usize, outputs: i32, positions: i32, outX: i32, rows: i32, runs: i32, steps: i32, apart: i32, below: i32, right: i32, down: i32, out: usize, stride: i32): void {
  convolveAs(true, x, w, sides, outputs, positions, outX, rows, runs, steps, apart, below, right, down, out, stride, true, 0, 0, 0);
}
