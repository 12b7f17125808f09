/** What attention over blocks in few bits shares: float rows that follow the blocks, the softmax over both, and rounding of weights. */
import { exp4, highest, total } from '../lowbit/vector';

/** The r-th of the rows [first, last) and of the `more` that are listed behind them. */
// @ts-ignore: decorator
@inline
function rowAt(r: i32, first: i32, last: i32, listed: usize): usize {
  return <usize>(r < last - first ? first + r : load<i32>(listed + (<usize>(r - last + first) << 2)));
}

/** Scores of float rows of keys, `stride` bytes apart; gives the largest of them and of `top`. */
// @ts-ignore: decorator
@inline
export function rowScores(query: usize, bytes: usize, scale: f32, keys: usize, stride: usize, first: i32, last: i32, listed: usize, more: i32, scores: usize, top: f32): f32 {
  const count = last - first + more;
  for (let r = 0; r < count; r++) {
    const key = keys + rowAt(r, first, last, listed) * stride;
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) sum = f32x4.add(sum, f32x4.mul(v128.load(query + i), v128.load(key + i)));
    const score = total(sum) * scale;
    store<f32>(scores + (<usize>r << 2), score);
    top = max(top, score);
  }
  return top;
}

/** Scores become e^(s − top), with zeros up to a multiple of four; gives the lanes of their sum. */
// @ts-ignore: decorator
@inline
export function softened(scores: usize, count: usize, top: f32): v128 {
  const filled = (count + 3) & ~3;
  for (let p = count; p < filled; p++) store<f32>(scores + (p << 2), -Infinity);
  let norm = f32x4.splat(0);
  for (let i: usize = 0; i < filled << 2; i += 16) {
    const e = exp4(f32x4.max(f32x4.sub(v128.load(scores + i), f32x4.splat(top)), f32x4.splat(-100)));
    v128.store(scores + i, e);
    norm = f32x4.add(norm, e);
  }
  return norm;
}

/** out = (mixed + Σ weights · float rows of values + minimum) / sum. */
// @ts-ignore: decorator
@inline
export function mixRows(mixed: usize, bytes: usize, weights: usize, values: usize, stride: usize, first: i32, last: i32, listed: usize, more: i32, minimum: v128, sum: v128, out: usize): void {
  const range = last - first;
  for (let i: usize = 0; i < bytes; i += 16) {
    let acc = v128.load(mixed + i);
    for (let r = 0; r < range; r++) acc = f32x4.add(acc, f32x4.mul(v128.load32_splat(weights + (<usize>r << 2)), v128.load(values + <usize>(first + r) * stride + i)));
    for (let r = range; r < range + more; r++) acc = f32x4.add(acc, f32x4.mul(v128.load32_splat(weights + (<usize>r << 2)), v128.load(values + rowAt(r, first, last, listed) * stride + i)));
    v128.store(out + i, f32x4.div(f32x4.add(acc, minimum), sum));
  }
}

/** Rounds `count` floats (a multiple of eight) to 16 bits in place of the codes; gives their scale. */
// @ts-ignore: decorator
@inline
export function round16(x: usize, count: usize, top: v128, codes: usize): f32 {
  const amax = highest(top);
  const by = f32x4.splat(amax > 0 ? <f32>32767 / amax : 0);
  for (let i: usize = 0; i < count; i += 8) {
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + 4 * i), by)));
    const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x + 4 * i, 16), by)));
    v128.store(codes + 2 * i, i16x8.narrow_i32x4_s(a, b));
  }
  return amax / <f32>32767;
}
