/** Attention of four tokens that follow each other: keys and values are read once for all of them. */
import { exp4, highest4, total } from './vector';

/** Bytes of the weights of 16 positions. */
const together: usize = 64;

/** [Σa, Σb, Σc, Σd], lanes added as (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
function totals(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7));
  const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7));
}

/**
 * Row r of four sees positions [from, to + r), with the bits that `attend` gives it alone. Queries and outputs lie
 * `queryStride` and `outStride` bytes apart; `scores` holds four times to + 8 − from values.
 */
export function attendRows(query: usize, queryStride: usize, keys: usize, values: usize, stride: usize, from: i32, to: i32, width: i32, scale: f32, scores: usize, out: usize, outStride: usize): void {
  const bytes = <usize>width << 2;
  const count = to + 3 - from;
  const padded = (count + 4) & ~3;
  const line = <usize>padded << 2;
  const firstKey = keys + <usize>from * stride;
  const firstValue = values + <usize>from * stride;
  const by = f32x4.splat(scale);
  for (let p = 0; p < count; p += 2) {
    const key = firstKey + <usize>p * stride;
    const other = p + 1 < count ? key + stride : key;
    let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(key + i), y = v128.load(other + i);
      let q = v128.load(query + i);
      a0 = f32x4.add(a0, f32x4.mul(q, x));
      a1 = f32x4.add(a1, f32x4.mul(q, y));
      q = v128.load(query + queryStride + i);
      b0 = f32x4.add(b0, f32x4.mul(q, x));
      b1 = f32x4.add(b1, f32x4.mul(q, y));
      q = v128.load(query + 2 * queryStride + i);
      c0 = f32x4.add(c0, f32x4.mul(q, x));
      c1 = f32x4.add(c1, f32x4.mul(q, y));
      q = v128.load(query + 3 * queryStride + i);
      d0 = f32x4.add(d0, f32x4.mul(q, x));
      d1 = f32x4.add(d1, f32x4.mul(q, y));
    }
    const ab = f32x4.mul(totals(a0, a1, b0, b1), by), cd = f32x4.mul(totals(c0, c1, d0, d1), by);
    const at = scores + (<usize>p << 2);
    v128.store64_lane(at, ab, 0);
    v128.store64_lane(at + line, ab, 1);
    v128.store64_lane(at + 2 * line, cd, 0);
    v128.store64_lane(at + 3 * line, cd, 1);
  }
  const s0 = soften(scores, count - 3, padded), s1 = soften(scores + line, count - 2, padded);
  const s2 = soften(scores + 2 * line, count - 1, padded), s3 = soften(scores + 3 * line, count, padded);
  for (let r: usize = 0; r < 4; r++) memory.fill(out + r * outStride, 0, bytes);
  // A few positions at a time, all their channels: positions lie so far apart that a pass over all of them would find none in the cache.
  for (let first: usize = 0; first < <usize>count << 2; first += together) {
    const last = min(first + together, <usize>count << 2);
    const begin = firstValue + (first >> 2) * stride;
    let i: usize = 0;
    for (; i + 32 <= bytes; i += 32) {
      const o = out + i, o1 = o + outStride, o2 = o1 + outStride, o3 = o2 + outStride;
      let a0 = v128.load(o), a1 = v128.load(o, 16), b0 = v128.load(o1), b1 = v128.load(o1, 16), c0 = v128.load(o2), c1 = v128.load(o2, 16), d0 = v128.load(o3), d1 = v128.load(o3, 16);
      let value = begin + i;
      for (let at = scores + first; at < scores + last; at += 4) {
        const x = v128.load(value), y = v128.load(value, 16);
        let w = v128.load32_splat(at);
        a0 = f32x4.add(a0, f32x4.mul(w, x));
        a1 = f32x4.add(a1, f32x4.mul(w, y));
        w = v128.load32_splat(at + line);
        b0 = f32x4.add(b0, f32x4.mul(w, x));
        b1 = f32x4.add(b1, f32x4.mul(w, y));
        w = v128.load32_splat(at + 2 * line);
        c0 = f32x4.add(c0, f32x4.mul(w, x));
        c1 = f32x4.add(c1, f32x4.mul(w, y));
        w = v128.load32_splat(at + 3 * line);
        d0 = f32x4.add(d0, f32x4.mul(w, x));
        d1 = f32x4.add(d1, f32x4.mul(w, y));
        value += stride;
      }
      v128.store(o, a0);
      v128.store(o, a1, 16);
      v128.store(o1, b0);
      v128.store(o1, b1, 16);
      v128.store(o2, c0);
      v128.store(o2, c1, 16);
      v128.store(o3, d0);
      v128.store(o3, d1, 16);
    }
    if (i < bytes) {
      const o = out + i, o1 = o + outStride, o2 = o1 + outStride, o3 = o2 + outStride;
      let a = v128.load(o), b = v128.load(o1), c = v128.load(o2), d = v128.load(o3);
      let value = begin + i;
      for (let at = scores + first; at < scores + last; at += 4) {
        const x = v128.load(value);
        a = f32x4.add(a, f32x4.mul(v128.load32_splat(at), x));
        b = f32x4.add(b, f32x4.mul(v128.load32_splat(at + line), x));
        c = f32x4.add(c, f32x4.mul(v128.load32_splat(at + 2 * line), x));
        d = f32x4.add(d, f32x4.mul(v128.load32_splat(at + 3 * line), x));
        value += stride;
      }
      v128.store(o, a);
      v128.store(o1, b);
      v128.store(o2, c);
      v128.store(o3, d);
    }
  }
  divide(out, bytes, s0);
  divide(out + outStride, bytes, s1);
  divide(out + 2 * outStride, bytes, s2);
  divide(out + 3 * outStride, bytes, s3);
}

/** The first `count` scores as e^(s − top), zeros after them; their sum in every lane. */
function soften(scores: usize, count: i32, padded: i32): v128 {
  for (let p = count; p < padded; p++) store<f32>(scores + (<usize>p << 2), -Infinity);
  const end = <usize>padded << 2;
  let top = v128.load(scores);
  for (let i: usize = 16; i < end; i += 16) top = f32x4.pmax(top, v128.load(scores + i));
  top = highest4(top);
  let norm = f32x4.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const e = exp4(f32x4.pmax(f32x4.splat(-100), f32x4.sub(v128.load(scores + i), top)));
    v128.store(scores + i, e);
    norm = f32x4.add(norm, e);
  }
  return f32x4.splat(total(norm));
}

function divide(out: usize, bytes: usize, by: v128): void {
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, f32x4.div(v128.load(out + i), by));
}
