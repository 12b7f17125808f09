/**
 * Convolutions of every channel by itself, eight channels and four positions at a time. Taps of a window lie `offsets` (i32, bytes)
 * from its beginning; those of codes go in pairs, an odd last one with a weight of zero: weights are [channels / 8][pairs][8][2]
 * codes of 16 bits, or [channels / 8][taps][8] floats.
 */
import { codes, real, sidesBytes, storeCodes, storeFloats } from './sides';

// @ts-ignore: decorator
@inline
function lows(x: v128, y: v128): v128 { return v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11); }
// @ts-ignore: decorator
@inline
function highs(x: v128, y: v128): v128 { return v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15); }
// @ts-ignore: decorator
@inline
function plus(sum: v128, x: v128, w: v128): v128 { return i32x4.add(sum, i32x4.dot_i16x8_s(x, w)); }

// @ts-ignore: decorator
@inline
function leave(asFloats: bool, first: v128, second: v128, sides: usize, zero: v128, low: v128, high: v128, to: usize, count: i32): void {
  if (asFloats) storeFloats(to, real(first, sides), real(second, sides + 16), count);
  else storeCodes(to, codes(first, second, sides, zero, low, high), count);
}

// @ts-ignore: decorator
@inline
function depthwiseAs(x: usize, w: usize, sides: usize, channels: i32, outY: i32, outX: i32, offsets: usize, pairs: i32, right: i32, down: i32, out: usize, asFloats: bool, zeroPoint: i32, least: i32, most: i32): void {
  const zero = i16x8.splat(<i16>zeroPoint), low = i8x16.splat(<i8>least), high = i8x16.splat(<i8>most);
  const width: usize = asFloats ? 4 : 1;
  const stride = <usize>channels * width;
  const last = outX - 1;
  const taps = offsets + (<usize>pairs << 3);
  for (let c = 0; c < channels; c += 8, w += <usize>pairs << 5, sides += sidesBytes) {
    const count = min(8, channels - c);
    const first = v128.load(sides), second = v128.load(sides, 16);
    for (let y = 0; y < outY; y++) {
      let from = x + <usize>(y * down + c);
      let to = out + <usize>(y * outX) * stride + <usize>c * width;
      for (let column = 0; column < outX; column += 4, from += <usize>right << 2) {
        const toB = column < last ? right : 0, toC = column + 1 < last ? right << 1 : 0, toD = column + 2 < last ? right * 3 : 0;
        let a = first, b = first, d = first, e = first, f = second, g = second, h = second, i = second;
        let k = w;
        for (let tap = offsets; tap < taps; tap += 8, k += 32) {
          const p = from + load<i32>(tap), q = from + load<i32>(tap, 4);
          const u = v128.load(k), v = v128.load(k, 16);
          const pa = v128.load8x8_u(p), qa = v128.load8x8_u(q);
          a = plus(a, lows(pa, qa), u); f = plus(f, highs(pa, qa), v);
          const pb = v128.load8x8_u(p + toB), qb = v128.load8x8_u(q + toB);
          b = plus(b, lows(pb, qb), u); g = plus(g, highs(pb, qb), v);
          const pc = v128.load8x8_u(p + toC), qc = v128.load8x8_u(q + toC);
          d = plus(d, lows(pc, qc), u); h = plus(h, highs(pc, qc), v);
          const pd = v128.load8x8_u(p + toD), qd = v128.load8x8_u(q + toD);
          e = plus(e, lows(pd, qd), u); i = plus(i, highs(pd, qd), v);
        }
        leave(asFloats, a, f, sides, zero, low, high, to, count); to += stride;
        if (column < last) { leave(asFloats, b, g, sides, zero, low, high, to, count); to += stride; }
        if (column + 1 < last) { leave(asFloats, d, h, sides, zero, low, high, to, count); to += stride; }
        if (column + 2 < last) { leave(asFloats, e, i, sides, zero, low, high, to, count); to += stride; }
      }
    }
  }
}

/** Codes to codes. */
export function depthwise(x: usize, w: usize, sides: usize, channels: i32, outY: i32, outX: i32, offsets: usize, pairs: i32, right: i32, down: i32, out: usize, zero: i32, low: i32, high: i32): void {
  depthwiseAs(x, w, sides, channels, outY, outX, offsets, pairs, right, down, out, false, zero, low, high);
}

/** Codes to floats. */
export function depthwiseToFloats(x: usize, w: usize, sides: usize, channels: i32, outY: i32, outX: i32, offsets: usize, pairs: i32, right: i32, down: i32, out: usize): void {
  depthwiseAs(x, w, sides, channels, outY, outX, offsets, pairs, right, down, out, true, 0, 0, 0);
}

/** Floats to floats, taps in their order. */
export function depthwiseFloats(x: usize, w: usize, sides: usize, channels: i32, outY: i32, outX: i32, offsets: usize, taps: i32, right: i32, down: i32, out: usize): void {
  const stride = <usize>channels << 2;
  const end = offsets + (<usize>taps << 2);
  for (let c = 0; c < channels; c += 8, w += <usize>taps << 5, sides += sidesBytes) {
    const count = min(8, channels - c);
    for (let y = 0; y < outY; y++) {
      let from = x + <usize>(y * down) + (<usize>c << 2);
      let to = out + <usize>(y * outX) * stride + (<usize>c << 2);
      for (let column = 0; column < outX; column++, from += right, to += stride) {
        let a = v128.load(sides), b = v128.load(sides, 16);
        let k = w;
        for (let tap = offsets; tap < end; tap += 4, k += 32) {
          const p = from + load<i32>(tap);
          a = f32x4.add(a, f32x4.mul(v128.load(p), v128.load(k)));
          b = f32x4.add(b, f32x4.mul(v128.load(p, 16), v128.load(k, 16)));
        }
        storeFloats(to, a, b, count);
      }
    }
  }
}
