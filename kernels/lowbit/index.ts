/**
 * Products of low-bit matrices with rounded inputs, and what a decoder of language models computes between them.
 *
 * A matrix [rows, cols] lies in panels of four rows, a panel in groups of 32 columns:
 *   four bits    64 bytes a group: for each row 16 bytes, byte i with column i in its low and column i + 16 in its high half;
 *   eight bits   128 bytes a group: for each row 32 codes;
 *   float        512 bytes a group: for each column four values, one per row.
 * Scales (and minima, subtracted) lie [panel][group][row], of halves of a group [panel][group][half][row].
 * Inputs are rounded per group: 32 codes of 16 bits, the same codes of 8 bits, one scale, the sum of the codes as a float.
 *
 * One order for every output: sums of a group in integers, groups in ascending order in float32, one rounding per
 * multiplication and addition. Plain twins in src/engine/kernels/lowbit.ts give the same bits.
 */
import { exp4, total } from './vector';

// @ts-ignore: decorator
@inline
const group: i32 = 32;

/** [a0…a3], … → [Σa, Σb, Σc, Σd] */
// @ts-ignore: decorator
@inline
function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** Σ of 16 unsigned bytes below 128, or signed ones, times 16 codes in two vectors. */
// @ts-ignore: decorator
@inline
function dot16(w: v128, x0: v128, x1: v128): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_s(w), x0), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_s(w), x1));
}

/** `x` points at codes of 16 bits, where dot products of bytes can be had at codes of 8. */
// @ts-ignore: decorator
@inline
function dotNibbles(w: v128, x: usize): v128 {
  const low = v128.and(w, i8x16.splat(15));
  const high = i8x16.shr_u(w, 4);
  if (ASC_FEATURE_RELAXED_SIMD) {
    return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(x, 16), high, i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.load(x), low, i32x4.splat(0)));
  }
  return i32x4.add(dot16(low, v128.load(x), v128.load(x, 16)), dot16(high, v128.load(x, 32), v128.load(x, 48)));
}

// @ts-ignore: decorator
@inline
function dotBytes(w: usize, x: usize): v128 {
  return i32x4.add(dot16(v128.load(w), v128.load(x), v128.load(x, 16)), dot16(v128.load(w, 16), v128.load(x, 32), v128.load(x, 48)));
}

/** Rounds tokens [tokens, groups · 32] to codes of 8 bits, kept in 16 and in 8. */
export function roundInputs(x: usize, count: i32, codes: usize, bytes: usize, scales: usize, totals: usize): void {
  for (let g = 0; g < count; g++) {
    let top = f32x4.splat(0);
    for (let i: usize = 0; i < 128; i += 16) top = f32x4.max(top, f32x4.abs(v128.load(x + i)));
    const amax = max(max(f32x4.extract_lane(top, 0), f32x4.extract_lane(top, 1)), max(f32x4.extract_lane(top, 2), f32x4.extract_lane(top, 3)));
    const scale: f32 = amax / 127;
    const by = f32x4.splat(scale > 0 ? scale : 1);
    let total = i32x4.splat(0);
    for (let i: usize = 0; i < 128; i += 32) {
      const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x + i), by)));
      const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x + i, 16), by)));
      total = i32x4.add(total, i32x4.add(a, b));
      v128.store(codes + (i >> 1), i16x8.narrow_i32x4_s(a, b));
    }
    v128.store(bytes, i8x16.narrow_i16x8_s(v128.load(codes), v128.load(codes, 16)));
    v128.store(bytes, i8x16.narrow_i16x8_s(v128.load(codes, 32), v128.load(codes, 48)), 16);
    store<f32>(scales, scale);
    store<f32>(totals, <f32>(i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1) + i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3)));
    x += 128;
    codes += 64;
    bytes += 32;
    scales += 4;
    totals += 4;
  }
}

/** Bytes of a group's codes where `dotNibbles` reads them. */
// @ts-ignore: decorator
@inline
const nibbleInputs: usize = ASC_FEATURE_RELAXED_SIMD ? 32 : 64;

/** What a group adds to the four outputs of a panel. */
// @ts-ignore: decorator
@inline
function group4(a: v128, b: v128, c: v128, d: v128, scales: v128, mins: v128, total: usize, scale: usize): v128 {
  const value = f32x4.sub(f32x4.mul(f32x4.convert_i32x4_s(sums(a, b, c, d)), scales), f32x4.mul(v128.load32_splat(total), mins));
  return f32x4.mul(value, v128.load32_splat(scale));
}

/** out[token][4 · panel + row] for panels [first, last); `stride` in values. */
export function product4(w: usize, scales: usize, mins: usize, groups: i32, codes: usize, bytes: usize, inScales: usize, totals: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  const inputs = ASC_FEATURE_RELAXED_SIMD ? bytes : codes;
  const row = <usize>groups * nibbleInputs;
  const side = <usize>groups << 2;
  for (let p = first; p < last; p++) {
    const panel = w + (<usize>p * <usize>groups << 6);
    const ps = scales + (<usize>p * <usize>groups << 4);
    const pm = mins + (<usize>p * <usize>groups << 4);
    let t = 0;
    // The compiler unpacks codes once for two tokens.
    if (!ASC_FEATURE_RELAXED_SIMD) {
      for (; t + 1 < tokens; t += 2) {
        let acc = f32x4.splat(0), other = f32x4.splat(0);
        let x = inputs + <usize>t * row;
        let xs = inScales + <usize>t * side;
        let xt = totals + <usize>t * side;
        for (let g: usize = 0; g < <usize>groups; g++) {
          const at = panel + (g << 6);
          const s = v128.load(ps + (g << 4)), m = v128.load(pm + (g << 4));
          const a = v128.load(at), ax = dotNibbles(a, x), ay = dotNibbles(a, x + row);
          const b = v128.load(at, 16), bx = dotNibbles(b, x), by = dotNibbles(b, x + row);
          const c = v128.load(at, 32), cx = dotNibbles(c, x), cy = dotNibbles(c, x + row);
          const d = v128.load(at, 48), dx = dotNibbles(d, x), dy = dotNibbles(d, x + row);
          acc = f32x4.add(acc, group4(ax, bx, cx, dx, s, m, xt, xs));
          other = f32x4.add(other, group4(ay, by, cy, dy, s, m, xt + side, xs + side));
          x += nibbleInputs;
          xs += 4;
          xt += 4;
        }
        v128.store(out + (<usize>(t * stride + p * 4) << 2), acc);
        v128.store(out + (<usize>((t + 1) * stride + p * 4) << 2), other);
      }
    }
    for (; t < tokens; t++) {
      let acc = f32x4.splat(0);
      let x = inputs + <usize>t * row;
      let xs = inScales + <usize>t * side;
      let xt = totals + <usize>t * side;
      for (let g: usize = 0; g < <usize>groups; g++) {
        const at = panel + (g << 6);
        const a = dotNibbles(v128.load(at), x), b = dotNibbles(v128.load(at, 16), x), c = dotNibbles(v128.load(at, 32), x), d = dotNibbles(v128.load(at, 48), x);
        acc = f32x4.add(acc, group4(a, b, c, d, v128.load(ps + (g << 4)), v128.load(pm + (g << 4)), xt, xs));
        x += nibbleInputs;
        xs += 4;
        xt += 4;
      }
      v128.store(out + (<usize>(t * stride + p * 4) << 2), acc);
    }
  }
}

/**
 * Inputs for `product4Float`: [group][8][4], nibble n of lane l multiplies column 4·l + ⌊n / 2⌋, from 16 on where n is
 * odd, and is left where it stands in its 32 bits, so that the input is divided by 16^n. `totals` are sums of the inputs.
 */
export function spreadInputs(x: usize, count: i32, to: usize, totals: usize): void {
  for (let g = 0; g < count; g++) {
    let total: f32 = 0;
    for (let c: usize = 0; c < 128; c += 4) total += load<f32>(x + c);
    store<f32>(totals, total);
    let factor: f32 = 1;
    for (let n = 0; n < 8; n++) {
      for (let l = 0; l < 4; l++) store<f32>(to + <usize>((n * 4 + l) << 2), load<f32>(x + <usize>((4 * l + (n >> 1) + 16 * (n & 1)) << 2)) * factor);
      factor *= 0.0625;
    }
    x += 128;
    to += 128;
    totals += 4;
  }
}

// @ts-ignore: decorator
@inline
function dotSpread(w: v128, x: usize): v128 {
  let sum = f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf))), v128.load(x));
  sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf0))), v128.load(x, 16)));
  sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf00))), v128.load(x, 32)));
  sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf000))), v128.load(x, 48)));
  sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf0000))), v128.load(x, 64)));
  sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf00000))), v128.load(x, 80)));
  sum = f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(v128.and(w, i32x4.splat(0xf000000))), v128.load(x, 96)));
  return f32x4.add(sum, f32x4.mul(f32x4.convert_i32x4_u(i32x4.shl(i32x4.shr_u(w, 28), 28)), v128.load(x, 112)));
}

/** Four bits with float inputs: four partial sums per output, one per lane, groups in ascending order. */
export function product4Float(w: usize, scales: usize, mins: usize, groups: i32, x: usize, totals: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  for (let p = first; p < last; p++) {
    const side = <usize>p * <usize>groups << 4;
    for (let t = 0; t < tokens; t++) {
      let at = w + (<usize>p * <usize>groups << 6);
      let s = scales + side;
      let m = mins + side;
      let from = x + (<usize>t * <usize>groups << 7);
      let xt = totals + (<usize>t * <usize>groups << 2);
      let a = f32x4.splat(0), b = f32x4.splat(0), c = f32x4.splat(0), d = f32x4.splat(0), less = f32x4.splat(0);
      for (let g = 0; g < groups; g++) {
        a = f32x4.add(a, f32x4.mul(dotSpread(v128.load(at), from), v128.load32_splat(s)));
        b = f32x4.add(b, f32x4.mul(dotSpread(v128.load(at, 16), from), v128.load32_splat(s, 4)));
        c = f32x4.add(c, f32x4.mul(dotSpread(v128.load(at, 32), from), v128.load32_splat(s, 8)));
        d = f32x4.add(d, f32x4.mul(dotSpread(v128.load(at, 48), from), v128.load32_splat(s, 12)));
        less = f32x4.add(less, f32x4.mul(v128.load(m), v128.load32_splat(xt)));
        at += 64;
        s += 16;
        m += 16;
        from += 128;
        xt += 4;
      }
      const sum = f32x4.replace_lane(f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(total(a)), 1, total(b)), 2, total(c)), 3, total(d));
      v128.store(out + (<usize>(t * stride + p * 4) << 2), f32x4.sub(sum, less));
    }
  }
}

/** The same of eight bits, without minima where `mins` is 0. */
export function product8(w: usize, scales: usize, mins: usize, groups: i32, codes: usize, inScales: usize, totals: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  for (let p = first; p < last; p++) {
    const panel = w + (<usize>p * <usize>groups << 7);
    const side = <usize>p * <usize>groups << 4;
    for (let t = 0; t < tokens; t++) {
      let at = panel;
      let s = scales + side;
      let m = mins + side;
      let x = codes + (<usize>t * <usize>groups << 6);
      let xs = inScales + (<usize>t * <usize>groups << 2);
      let xt = totals + (<usize>t * <usize>groups << 2);
      let acc = f32x4.splat(0);
      for (let g = 0; g < groups; g++) {
        const dot = sums(dotBytes(at, x), dotBytes(at + 32, x), dotBytes(at + 64, x), dotBytes(at + 96, x));
        let value = f32x4.mul(f32x4.convert_i32x4_s(dot), v128.load(s));
        if (mins !== 0) value = f32x4.sub(value, f32x4.mul(v128.load32_splat(xt), v128.load(m)));
        acc = f32x4.add(acc, f32x4.mul(value, v128.load32_splat(xs)));
        at += 128;
        s += 16;
        m += 16;
        x += 64;
        xs += 4;
        xt += 4;
      }
      v128.store(out + (<usize>(t * stride + p * 4) << 2), acc);
    }
  }
}

/** Eight bits with a scale for each half of a group. */
export function product8Halves(w: usize, scales: usize, groups: i32, codes: usize, inScales: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  for (let p = first; p < last; p++) {
    const panel = w + (<usize>p * <usize>groups << 7);
    for (let t = 0; t < tokens; t++) {
      let at = panel;
      let s = scales + (<usize>p * <usize>groups << 5);
      let x = codes + (<usize>t * <usize>groups << 6);
      let xs = inScales + (<usize>t * <usize>groups << 2);
      let acc = f32x4.splat(0);
      for (let g = 0; g < groups; g++) {
        const x0 = v128.load(x), x1 = v128.load(x, 16), x2 = v128.load(x, 32), x3 = v128.load(x, 48);
        const left = sums(dot16(v128.load(at), x0, x1), dot16(v128.load(at, 32), x0, x1), dot16(v128.load(at, 64), x0, x1), dot16(v128.load(at, 96), x0, x1));
        const right = sums(dot16(v128.load(at, 16), x2, x3), dot16(v128.load(at, 48), x2, x3), dot16(v128.load(at, 80), x2, x3), dot16(v128.load(at, 112), x2, x3));
        const value = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(left), v128.load(s)), f32x4.mul(f32x4.convert_i32x4_s(right), v128.load(s, 16)));
        acc = f32x4.add(acc, f32x4.mul(value, v128.load32_splat(xs)));
        at += 128;
        s += 32;
        x += 64;
        xs += 4;
      }
      v128.store(out + (<usize>(t * stride + p * 4) << 2), acc);
    }
  }
}

/** Float weights and inputs [tokens, groups · 32], columns in ascending order. */
export function productFloat(w: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  const cols = groups * group;
  for (let p = first; p < last; p++) {
    for (let t = 0; t < tokens; t++) {
      let at = w + (<usize>p * <usize>cols << 4);
      let from = x + (<usize>t * <usize>cols << 2);
      const end = from + (<usize>cols << 2);
      let acc = f32x4.splat(0);
      while (from < end) {
        acc = f32x4.add(acc, f32x4.mul(v128.load(at), v128.load32_splat(from)));
        acc = f32x4.add(acc, f32x4.mul(v128.load(at, 16), v128.load32_splat(from, 4)));
        acc = f32x4.add(acc, f32x4.mul(v128.load(at, 32), v128.load32_splat(from, 8)));
        acc = f32x4.add(acc, f32x4.mul(v128.load(at, 48), v128.load32_splat(from, 12)));
        at += 64;
        from += 16;
      }
      v128.store(out + (<usize>(t * stride + p * 4) << 2), acc);
    }
  }
}

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
