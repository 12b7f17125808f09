/** What a decoder of language models computes between its products. */
import { exp4, total } from './vector';

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
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) {
    const g = v128.load(gate + i);
    // 1 / (1 + e^−|g|), mirrored for negative g, so that the exponential never grows.
    const e = exp4(f32x4.neg(f32x4.abs(g)));
    const s = f32x4.div(v128.bitselect(e, one, f32x4.lt(g, f32x4.splat(0))), f32x4.add(one, e));
    v128.store(gate + i, f32x4.mul(f32x4.mul(g, s), v128.load(up + i)));
  }
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
  for (let p = 0; p < count; p++) {
    const key = keys + <usize>(p < range ? from + p : load<i32>(listed + (<usize>(p - range) << 2))) * stride;
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(query + i), v128.load(key + i)));
    const score = total(sum) * scale;
    store<f32>(scores + (<usize>p << 2), score);
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
  for (let i: usize = 0; i < bytes; i += 16) {
    let acc = f32x4.splat(0);
    for (let p = 0; p < range; p++) acc = f32x4.add(acc, f32x4.mul(v128.load32_splat(scores + (<usize>p << 2)), v128.load(values + <usize>(from + p) * stride + i)));
    for (let p = range; p < count; p++) acc = f32x4.add(acc, f32x4.mul(v128.load32_splat(scores + (<usize>p << 2)), v128.load(values + <usize>load<i32>(listed + (<usize>(p - range) << 2)) * stride + i)));
    v128.store(out + i, f32x4.div(acc, sum));
  }
}
