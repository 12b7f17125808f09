/**
 * Products of 4-bit weights with inputs of bytes by relaxed dot products: weights with 8 added are the operand that must
 * have 7 bits, inputs of 4 or 8 bits the other, so that sums are exact.
 */
import { held } from '../lowbit/vector';
import { beside, scaled, sums } from './outputs';

/** Products of 32 columns of one row, weights in their low and in their high nibbles, added to a sum. */
// @ts-ignore: decorator
@inline
function plus(sum: v128, low: v128, high: v128, x: v128, y: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(y, high, i32x4.relaxed_dot_i8x16_i7x16_add_s(x, low, sum)) : sum;
}

// @ts-ignore: decorator
@inline
function lowOf(w: v128, nibble: v128): v128 { return v128.and(w, nibble); }
// @ts-ignore: decorator
@inline
function highOf(w: v128, nibble: v128, sign: v128): v128 { return v128.xor(v128.and(i16x8.shr_u(w, 4), nibble), sign); }

/** A panel times one token, or times two that follow each other, for which its weights are unpacked once. Results hold constants before they are made. */
// @ts-ignore: decorator
@inline
function panel(two: bool, at: usize, scales: usize, blocks: i32, x: usize, width: usize, inScales: usize, lifts: usize, up: usize, down: usize, rank: i32, out: usize, stride: usize): void {
  const nibble = held(i8x16.splat(15), out), sign = held(i8x16.splat(8), out);
  const sides = <usize>blocks << 2;
  let y = x + width;
  let one = beside(up, down, rank), other = two ? beside(up, down + (<usize>rank << 2), rank) : one;
  const last = scales + (<usize>blocks << 4);
  for (; scales < last; scales += 16) {
    let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (const end = at + 64; at < end; at += 16, x += 32) {
      const x0 = v128.load(x), x1 = v128.load(x, 16);
      const y0 = two ? v128.load(y) : x0, y1 = two ? v128.load(y, 16) : x1;
      if (two) y += 32;
      let w = v128.load(at), low = lowOf(w, nibble), high = highOf(w, nibble, sign);
      a = plus(a, low, high, x0, x1);
      if (two) e = plus(e, low, high, y0, y1);
      w = v128.load(at, 64); low = lowOf(w, nibble); high = highOf(w, nibble, sign);
      b = plus(b, low, high, x0, x1);
      if (two) f = plus(f, low, high, y0, y1);
      w = v128.load(at, 128); low = lowOf(w, nibble); high = highOf(w, nibble, sign);
      c = plus(c, low, high, x0, x1);
      if (two) g = plus(g, low, high, y0, y1);
      w = v128.load(at, 192); low = lowOf(w, nibble); high = highOf(w, nibble, sign);
      d = plus(d, low, high, x0, x1);
      if (two) h = plus(h, low, high, y0, y1);
    }
    const by = v128.load(scales);
    one = f32x4.add(one, scaled(sums(a, b, c, d), lifts, by, inScales));
    if (two) other = f32x4.add(other, scaled(sums(e, f, g, h), lifts + sides, by, inScales + sides));
    at += 192;
    lifts += 4;
    inScales += 4;
  }
  v128.store(out, one);
  if (two) v128.store(out + stride, other);
}

/** As `product`; codes of a token lie `width` bytes behind those of the one before it. */
export function productBytes(w: usize, scales: usize, blocks: i32, codes: usize, width: usize, inScales: usize, lifts: usize, branch: usize, down: usize, rank: i32, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  const outRow = <usize>stride << 2;
  for (let p = first; p < last; p++) {
    const at = w + (<usize>p * <usize>blocks << 8);
    const ps = scales + (<usize>p * <usize>blocks << 4);
    const up = branch + (<usize>p * <usize>rank << 4);
    for (let t = 0; t < tokens;) {
      const side = <usize>(t * blocks) << 2;
      const x = codes + <usize>t * width;
      const below = down + (<usize>t * <usize>rank << 2);
      const to = out + <usize>t * outRow + (<usize>p << 4);
      if (t + 1 < tokens) {
        panel(true, at, ps, blocks, x, width, inScales + side, lifts + side, up, below, rank, to, outRow);
        t += 2;
      } else {
        panel(false, at, ps, blocks, x, width, inScales + side, lifts + side, up, below, rank, to, outRow);
        t++;
      }
    }
  }
}
