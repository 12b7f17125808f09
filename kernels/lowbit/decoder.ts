/** What a decoder of language models computes between its products. */
import { exp4, silu4, total } from './vector';

/** out = x / √(mean(x²) + ε) · weight, `count` a multiple of four. */
export function rmsNorm(x: usize, weight: usize, count: i32, epsilon: f32, out: usize): void {
  let sum = f32x4.splat(0);
  const bytes = <usize>count << 2;
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(x + i);
    sum = f32x4.add(sum, f32x4.mul(v, v));
  }
  const root = f32x4.splat(sqrt(total(sum) / <f32>count + epsilon));
  for (let i: usize = 0; i < bytes; i += 16) v128.store(out + i, f32x4.mul(f32x4.div(v128.load(x + i), root), v128.load(weight + i)));
}

/** x += y */
export function addTo(x: usize, y: usize, count: i32): void {
  const bytes = <usize>count << 2;
  for (let i: usize = 0; i < bytes; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(y + i)));
}

/** Turns pairs (i, i + half) of each head by the angles whose cosines and sines are given. */
export function rotate(x: usize, heads: i32, half: i32, cos: usize, sin: usize): void {
  for (let h = 0; h < heads; h++) {
    const low = x + (<usize>h * <usize>half << 3);
    const high = low + (<usize>half << 2);
    for (let i: usize = 0; i < <usize>half << 2; i += 4) {
      const a = load<f32>(low + i), b = load<f32>(high + i);
      const c = load<f32>(cos + i), s = load<f32>(sin + i);
      store<f32>(low + i, a * c - b * s);
      store<f32>(high + i, b * c + a * s);
    }
  }
}

/** gate = silu(gate) · up; count a multiple of four. */
export function siluTimes(gate: usize, up: usize, count: i32): void {
  for (let i: usize = 0; i < <usize>count << 2; i += 16) v128.store(gate + i, f32x4.mul(silu4(v128.load(gate + i)), v128.load(up + i)));
}

/** Where the p-th of the positions lies that are attended to: `range` of them from `from` on, then listed ones. */
// @ts-ignore: decorator
@inline
function rowAt(rows: usize, stride: usize, from: i32, range: i32, listed: usize, p: i32): usize {
  return rows + <usize>(p < range ? from + p : load<i32>(listed + (<usize>(p - range) << 2))) * stride;
}

/**
 * Attention of one query head over positions [from, to) of a cache [position][kvHeads][width], then over `more` of them
 * whose numbers are listed: `keys` and `values` point at the head's first position, `stride` is the distance of positions
 * in bytes. `scores` holds a multiple of four values.
 */
export function attend(query: usize, keys: usize, values: usize, stride: usize, from: i32, to: i32, width: i32, scale: f32, scores: usize, out: usize, listed: usize, more: i32): void {
  const bytes = <usize>width << 2;
  let top: f32 = -Infinity;
  const range = to - from;
  const count = range + more;
  let next = 0;
  // Four positions at a time: their sums do not wait for each other.
  for (; next + 3 < count; next += 4) {
    const ka = rowAt(keys, stride, from, range, listed, next), kb = rowAt(keys, stride, from, range, listed, next + 1);
    const kc = rowAt(keys, stride, from, range, listed, next + 2), kd = rowAt(keys, stride, from, range, listed, next + 3);
    let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const q = v128.load(query + i);
      a = f32x4.add(a, f32x4.mul(q, v128.load(ka + i)));
      b = f32x4.add(b, f32x4.mul(q, v128.load(kb + i)));
      c = f32x4.add(c, f32x4.mul(q, v128.load(kc + i)));
      d = f32x4.add(d, f32x4.mul(q, v128.load(kd + i)));
    }
    const four = scores + (<usize>next << 2);
    const sa = total(a) * scale, sb = total(b) * scale, sc = total(c) * scale, sd = total(d) * scale;
    store<f32>(four, sa);
    store<f32>(four, sb, 4);
    store<f32>(four, sc, 8);
    store<f32>(four, sd, 12);
    top = max(top, max(max(sa, sb), max(sc, sd)));
  }
  for (; next < count; next++) {
    const key = rowAt(keys, stride, from, range, listed, next);
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(query + i), v128.load(key + i)));
    const score = total(sum) * scale;
    store<f32>(scores + (<usize>next << 2), score);
    top = max(top, score);
  }
  const padded = (count + 3) & ~3;
  for (let p = count; p < padded; p++) store<f32>(scores + (<usize>p << 2), -Infinity);
  let norm = f32x4.splat(0);
  for (let i: usize = 0; i < <usize>padded << 2; i += 16) {
    const e = exp4(f32x4.max(f32x4.sub(v128.load(scores + i), f32x4.splat(top)), f32x4.splat(-100)));
    v128.store(scores + i, e);
    norm = f32x4.add(norm, e);
  }
  const sum = f32x4.splat(total(norm));
  let i: usize = 0;
  // A row of values is read in pieces as long as a cache line.
  for (; i + 48 < bytes; i += 64) {
    let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0);
    for (let p = 0; p < count; p++) {
      const weight = v128.load32_splat(scores + (<usize>p << 2));
      const row = rowAt(values, stride, from, range, listed, p) + i;
      a = f32x4.add(a, f32x4.mul(weight, v128.load(row)));
      b = f32x4.add(b, f32x4.mul(weight, v128.load(row, 16)));
      c = f32x4.add(c, f32x4.mul(weight, v128.load(row, 32)));
      d = f32x4.add(d, f32x4.mul(weight, v128.load(row, 48)));
    }
    v128.store(out + i, f32x4.div(a, sum));
    v128.store(out + i, f32x4.div(b, sum), 16);
    v128.store(out + i, f32x4.div(c, sum), 32);
    v128.store(out + i, f32x4.div(d, sum), 48);
  }
  for (; i < bytes; i += 16) {
    let acc = f32x4.splat(0);
    for (let p = 0; p < count; p++) acc = f32x4.add(acc, f32x4.mul(v128.load32_splat(scores + (<usize>p << 2)), v128.load(rowAt(values, stride, from, range, listed, p) + i)));
    v128.store(out + i, f32x4.div(acc, sum));
  }
}
