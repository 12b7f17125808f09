/** Q3_K and Q6_K, and the scale search they share with Q4_0 and Q5_0 under importance; one sub-block per lane. */
import { importanceWeights, sumOfSquares } from './affine';
import { fromHalf, toHalf } from './half';
import { any, bytes16, round1, round4, transpose } from './lanes';

const xs = memory.data(64 * 16, 16);
/** Weights w and products w·x. */
const ws = memory.data(64 * 16, 16);
const wx = memory.data(64 * 16, 16);
/** Codes of Q3_K in flight. */
const ls = memory.data(64 * 16, 16);
const scales = memory.data(16 * 4, 16);
const sums = memory.data(16 * 4, 16);
const inverses = memory.data(16, 16);
const scaleCodes = memory.data(16, 16);

/** Extreme values (largest magnitude, first of equals) of the n vectors at `from`. */
// @ts-ignore: decorator
@inline
function extremes(from: usize, n: i32): v128 {
  let amax = f32x4.splat(0);
  let value = amax;
  for (let p: usize = 0; p < <usize>n << 4; p += 16) {
    const v = v128.load(from + p);
    const larger = f32x4.gt(f32x4.abs(v), amax);
    amax = f32x4.pmax(amax, f32x4.abs(v));
    value = v128.bitselect(v, value, larger);
  }
  return value;
}

/**
 * The search of the plain `signedScale` over the four groups in `xs`, `ws` and `wx`: stores their scales at `to`
 * and the inverse scales of their codes, 0 for groups that count as zero, in `inverses`.
 */
// @ts-ignore: decorator
@inline
function search(n: i32, levels: f32, to: usize): void {
  const zero = f32x4.splat(0);
  const low = f32x4.splat(-levels);
  const high = f32x4.splat(levels - 1);
  const max = extremes(xs, n);
  const live = f32x4.ge(f32x4.abs(max), f32x4.splat(1e-15));
  let chosen = f32x4.div(low, max);
  let scale = zero;
  let best = zero;
  for (let t = -10; t <= 9; t++) {
    if (t == 0) continue;
    const inverse = t == -10 ? chosen : f32x4.div(f32x4.splat(-(levels + <f32>0.1 * <f32>t)), max);
    let sumlx = zero, suml2 = zero;
    for (let p: usize = 0; p < <usize>n << 4; p += 32) {
      let l = round4(f32x4.mul(inverse, v128.load(xs + p)), low, high);
      sumlx = f32x4.add(sumlx, f32x4.mul(v128.load(wx + p), l));
      suml2 = f32x4.add(suml2, f32x4.mul(f32x4.mul(v128.load(ws + p), l), l));
      l = round4(f32x4.mul(inverse, v128.load(xs + p, 16)), low, high);
      sumlx = f32x4.add(sumlx, f32x4.mul(v128.load(wx + p, 16), l));
      suml2 = f32x4.add(suml2, f32x4.mul(f32x4.mul(v128.load(ws + p, 16), l), l));
    }
    const quotient = f32x4.div(sumlx, suml2);
    if (t == -10) {
      scale = v128.andnot(quotient, f32x4.eq(suml2, zero));
      best = f32x4.mul(scale, sumlx);
    } else {
      const better = v128.and(f32x4.gt(suml2, zero), f32x4.gt(f32x4.mul(sumlx, sumlx), f32x4.mul(best, suml2)));
      scale = v128.bitselect(quotient, scale, better);
      best = v128.bitselect(f32x4.mul(quotient, sumlx), best, better);
      chosen = v128.bitselect(inverse, chosen, better);
    }
  }
  v128.store(to, v128.and(scale, live));
  v128.store(inverses, v128.and(chosen, live));
}

/** Weights x² and products for the search. */
// @ts-ignore: decorator
@inline
function squareWeights(n: i32): void {
  for (let p: usize = 0; p < <usize>n << 4; p += 16) {
    const v = v128.load(xs + p);
    const w = f32x4.mul(v, v);
    v128.store(ws + p, w);
    v128.store(wx + p, f32x4.mul(w, v));
  }
}

// @ts-ignore: decorator
@inline
function products(n: i32): void {
  for (let p: usize = 0; p < <usize>n << 4; p += 16) v128.store(wx + p, f32x4.mul(v128.load(ws + p), v128.load(xs + p)));
}

/** 16 codes of values under a stored scale, shifted to begin at 0. */
// @ts-ignore: decorator
@inline
function codes16(x: usize, scale: v128, levels: f32): v128 {
  const low = f32x4.splat(-levels);
  const high = f32x4.splat(levels - 1);
  return bytes16(
    f32x4.sub(round4(f32x4.div(v128.load(x), scale), low, high), low),
    f32x4.sub(round4(f32x4.div(v128.load(x, 16), scale), low, high), low),
    f32x4.sub(round4(f32x4.div(v128.load(x, 32), scale), low, high), low),
    f32x4.sub(round4(f32x4.div(v128.load(x, 48), scale), low, high), low),
  );
}

/** The scale of largest magnitude of 16, first of equals. */
function extremeScale(): f32 {
  let value: f32 = 0;
  for (let p: usize = 0; p < 64; p += 4) {
    const scale = load<f32>(scales + p);
    if (abs(scale) > abs(value)) value = scale;
  }
  return value;
}

/** Packs `blocks` super-blocks of Q6_K from x; `a` is the importance of their columns or 0. */
export function q6_k(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 1024, to += 210) {
    for (let g: usize = 0; g < 4; g++) {
      transpose(x + 256 * g, 64, 16, xs, 16);
      if (a) {
        transpose(a + 256 * g, 64, 16, ws, 16);
        products(16);
      } else squareWeights(16);
      search(16, 32, scales + 16 * g);
    }
    if (a) a += 1024;
    const max = extremeScale();
    if (abs(max) < <f32>1e-15) {
      memory.fill(to, 0, 210);
      continue;
    }
    const inverse: f32 = -128 / max;
    const d = toHalf(<f32>1 / inverse);
    const step = fromHalf(d);
    store<u16>(to, <u16>d, 208);
    const nibble = i8x16.splat(15);
    for (let h: usize = 0; h < 2; h++) {
      for (let part: usize = 0; part < 2; part++) {
        let top = i8x16.splat(0), even = top, odd = top;
        for (let k: usize = 0; k < 4; k++) {
          const j = 8 * <i32>h + 2 * <i32>k + <i32>part;
          const code = round1(inverse * load<f32>(scales + (j << 2)), -128, 127);
          store<i8>(to + 192 + j, <i8>code);
          const scale = step * code;
          if (scale == 0) continue;
          const codes = codes16(x + (j << 6), f32x4.splat(scale), 32);
          const low = i16x8.shl(v128.and(codes, nibble), <i32>(k >> 1) << 2);
          if (k & 1) odd = v128.or(odd, low);
          else even = v128.or(even, low);
          top = v128.or(top, i16x8.shl(v128.and(i16x8.shr_u(codes, 4), i8x16.splat(3)), <i32>k << 1));
        }
        v128.store(to + 64 * h + 16 * part, even);
        v128.store(to + 64 * h + 32 + 16 * part, odd);
        v128.store(to + 128 + 32 * h + 16 * part, top);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function without(sum: v128, product: v128, code: v128): v128 {
  return f32x4.sub(sum, f32x4.mul(product, code));
}

/** Whether the changed sums (lx, l2) beat the sums (sx, s2) in a lane whose code changes from q to next; `rest` is Σ without it. */
// @ts-ignore: decorator
@inline
function accepted(q: v128, next: v128, rest: v128, lx: v128, l2: v128, sx: v128, s2: v128): v128 {
  const zero = f32x4.splat(0);
  return v128.and(
    v128.and(f32x4.ne(next, q), f32x4.gt(rest, zero)),
    v128.and(f32x4.gt(l2, zero), f32x4.gt(f32x4.mul(f32x4.mul(lx, lx), s2), f32x4.mul(f32x4.mul(sx, sx), l2))),
  );
}

/**
 * The search of the plain `descendedScale` over 16 sub-blocks. Sweeps are chains of dependent operations, so the
 * four groups of lanes go through them side by side. A lane that a sweep leaves unchanged stays unchanged.
 */
function descend(): void {
  const low = f32x4.splat(-4);
  const high = f32x4.splat(3);
  const zero = f32x4.splat(0);
  let x0 = zero, x1 = zero, x2 = zero, x3 = zero;
  let s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  for (let g: usize = 0; g < 4; g++) {
    const inverse = f32x4.div(low, extremes(xs + (g << 8), 16));
    let sx = zero, sl = zero;
    for (let p = g << 8, end = p + 256; p < end; p += 16) {
      const q = round4(f32x4.mul(inverse, v128.load(xs + p)), low, high);
      v128.store(ls + p, q);
      sx = f32x4.add(sx, f32x4.mul(v128.load(wx + p), q));
      sl = f32x4.add(sl, f32x4.mul(f32x4.mul(v128.load(ws + p), q), q));
    }
    if (g == 0) { x0 = sx; s0 = sl; }
    else if (g == 1) { x1 = sx; s1 = sl; }
    else if (g == 2) { x2 = sx; s2 = sl; }
    else { x3 = sx; s3 = sl; }
  }
  for (let sweep = 0; sweep < 5; sweep++) {
    let changed = zero;
    for (let p: usize = 0; p < 256; p += 16) {
      let q = v128.load(ls + p), w = v128.load(ws + p), wv = v128.load(wx + p);
      let rx = without(x0, wv, q), rl = without(s0, f32x4.mul(w, q), q);
      let next = round4(f32x4.div(f32x4.mul(v128.load(xs + p), rl), rx), low, high);
      let lx = f32x4.add(rx, f32x4.mul(wv, next)), l2 = f32x4.add(rl, f32x4.mul(f32x4.mul(w, next), next));
      let yes = accepted(q, next, rx, lx, l2, x0, s0);
      v128.store(ls + p, v128.bitselect(next, q, yes));
      x0 = v128.bitselect(lx, x0, yes);
      s0 = v128.bitselect(l2, s0, yes);
      changed = v128.or(changed, yes);

      q = v128.load(ls + p, 256), w = v128.load(ws + p, 256), wv = v128.load(wx + p, 256);
      rx = without(x1, wv, q), rl = without(s1, f32x4.mul(w, q), q);
      next = round4(f32x4.div(f32x4.mul(v128.load(xs + p, 256), rl), rx), low, high);
      lx = f32x4.add(rx, f32x4.mul(wv, next)), l2 = f32x4.add(rl, f32x4.mul(f32x4.mul(w, next), next));
      yes = accepted(q, next, rx, lx, l2, x1, s1);
      v128.store(ls + p, v128.bitselect(next, q, yes), 256);
      x1 = v128.bitselect(lx, x1, yes);
      s1 = v128.bitselect(l2, s1, yes);
      changed = v128.or(changed, yes);

      q = v128.load(ls + p, 512), w = v128.load(ws + p, 512), wv = v128.load(wx + p, 512);
      rx = without(x2, wv, q), rl = without(s2, f32x4.mul(w, q), q);
      next = round4(f32x4.div(f32x4.mul(v128.load(xs + p, 512), rl), rx), low, high);
      lx = f32x4.add(rx, f32x4.mul(wv, next)), l2 = f32x4.add(rl, f32x4.mul(f32x4.mul(w, next), next));
      yes = accepted(q, next, rx, lx, l2, x2, s2);
      v128.store(ls + p, v128.bitselect(next, q, yes), 512);
      x2 = v128.bitselect(lx, x2, yes);
      s2 = v128.bitselect(l2, s2, yes);
      changed = v128.or(changed, yes);

      q = v128.load(ls + p, 768), w = v128.load(ws + p, 768), wv = v128.load(wx + p, 768);
      rx = without(x3, wv, q), rl = without(s3, f32x4.mul(w, q), q);
      next = round4(f32x4.div(f32x4.mul(v128.load(xs + p, 768), rl), rx), low, high);
      lx = f32x4.add(rx, f32x4.mul(wv, next)), l2 = f32x4.add(rl, f32x4.mul(f32x4.mul(w, next), next));
      yes = accepted(q, next, rx, lx, l2, x3, s3);
      v128.store(ls + p, v128.bitselect(next, q, yes), 768);
      x3 = v128.bitselect(lx, x3, yes);
      s3 = v128.bitselect(l2, s3, yes);
      changed = v128.or(changed, yes);
    }
    if (!any(changed)) break;
  }
  storeScale(0, x0, s0);
  storeScale(256, x1, s1);
  storeScale(512, x2, s2);
  storeScale(768, x3, s3);
}

/** Σwxl/Σwl² of a group, zero where the group counts as zero. */
// @ts-ignore: decorator
@inline
function storeScale(group: usize, sumlx: v128, suml2: v128): void {
  const live = v128.and(
    f32x4.ge(f32x4.abs(extremes(xs + group, 16)), f32x4.splat(1e-15)), f32x4.gt(suml2, f32x4.splat(0)));
  v128.store(scales + (group >> 4), v128.and(f32x4.div(sumlx, suml2), live));
}

/** The plain `signedScale` of 16 sub-block scales with 32 levels, weights in `sums`; fills scaleCodes. */
function scaleOfScales(): f32 {
  const max = extremeScale();
  if (abs(max) < <f32>1e-15) {
    memory.fill(scaleCodes, 0, 16);
    return 0;
  }
  let chosen: f32 = <f32>-32 / max;
  let scale: f32 = 0;
  let best: f32 = 0;
  for (let t = -10; t <= 9; t++) {
    if (t == 0) continue;
    const inverse: f32 = t == -10 ? chosen : -(<f32>32 + <f32>0.1 * <f32>t) / max;
    let sumlx: f32 = 0;
    let suml2: f32 = 0;
    for (let p: usize = 0; p < 64; p += 4) {
      const v = load<f32>(scales + p);
      const w = load<f32>(sums + p);
      const l = round1(inverse * v, -32, 31);
      sumlx += w * v * l;
      suml2 += w * l * l;
    }
    if (t == -10) {
      scale = suml2 == 0 ? 0 : sumlx / suml2;
      best = scale * sumlx;
    } else if (suml2 > 0 && sumlx * sumlx > best * suml2) {
      scale = sumlx / suml2;
      best = scale * sumlx;
      chosen = inverse;
    }
  }
  for (let j: usize = 0; j < 16; j++) store<u8>(scaleCodes + j, <u8>(round1(chosen * load<f32>(scales + (j << 2)), -32, 31) + 32));
  return scale;
}

/** Packs `blocks` super-blocks of Q3_K from x; `a` is the importance of their columns or 0. */
export function q3_k(x: usize, blocks: i32, a: usize, to: usize): void {
  for (let b = 0; b < blocks; b++, x += 1024, to += 110) {
    let d: u32 = 0;
    if (a) {
      const sigma2: f32 = (2 * sumOfSquares(x, 256)) / 256;
      for (let g: usize = 0; g < 4; g++) {
        transpose(x + 256 * g, 64, 16, xs, 16);
        importanceWeights(xs, ws, 16, a + 256 * g, 64, f32x4.splat(sigma2), sums + 16 * g, 16);
        products(16);
        search(16, 4, scales + 16 * g);
      }
      d = toHalf(scaleOfScales());
      a += 1024;
    } else {
      for (let g: usize = 0; g < 4; g++) transpose(x + 256 * g, 64, 16, xs + 256 * g, 16);
      squareWeights(64);
      descend();
      const max = extremeScale();
      memory.fill(scaleCodes, 0, 16);
      if (max != 0) {
        const inverse: f32 = -32 / max;
        for (let j: usize = 0; j < 16; j++) store<u8>(scaleCodes + j, <u8>(round1(inverse * load<f32>(scales + (j << 2)), -32, 31) + 32));
        d = toHalf(<f32>1 / inverse);
      }
    }
    const step = fromHalf(d);
    for (let part: usize = 0; part < 2; part++) {
      let mask = i8x16.splat(0);
      for (let h: usize = 0; h < 2; h++) {
        let pairs = i8x16.splat(0);
        for (let k: usize = 0; k < 4; k++) {
          const j = 8 * <i32>h + 2 * <i32>k + <i32>part;
          const scale = step * <f32>(<i32>load<u8>(scaleCodes + j) - 32);
          if (scale == 0) continue;
          const codes = codes16(x + (j << 6), f32x4.splat(scale), 4);
          pairs = v128.or(pairs, i16x8.shl(v128.and(codes, i8x16.splat(3)), <i32>k << 1));
          mask = v128.or(mask, i16x8.shl(v128.and(i16x8.shr_u(codes, 2), i8x16.splat(1)), 4 * <i32>h + <i32>k));
        }
        v128.store(to + 32 + 32 * h + 16 * part, pairs);
      }
      v128.store(to + 16 * part, mask);
    }
    const low = load<u64>(scaleCodes), high = load<u64>(scaleCodes, 8);
    store<u64>(to, (low & 0x0f0f0f0f0f0f0f0f) | ((high & 0x0f0f0f0f0f0f0f0f) << 4), 96);
    const tops = ((low >> 4) & 0x0303030303030303) | (((high >> 4) & 0x0303030303030303) << 4);
    store<u32>(to, <u32>tops | (<u32>(tops >> 32) << 2), 104);
    store<u16>(to, <u16>d, 108);
  }
}

/**
 * Codes 0 … 2·levels − 1 of four blocks of 32 under importance, 32 bytes each at `codes`; their scales at `to`.
 * `sigma2` is the mean square of the row.
 */
// @ts-ignore: decorator
@inline
export function importanceBlocks(x: usize, a: usize, sigma2: f32, levels: f32, to: usize, codes: usize): void {
  transpose(x, 128, 32, xs, 16);
  importanceWeights(xs, ws, 32, a, 128, f32x4.splat(sigma2), sums, 16);
  products(32);
  search(32, levels, to);
  const low = f32x4.splat(-levels);
  const high = f32x4.splat(levels - 1);
  for (let b: usize = 0; b < 4; b++) {
    const inverse = v128.load32_splat(inverses + (b << 2));
    // A block that counts as zero has code 0, not the middle code.
    const shift = load<f32>(inverses + (b << 2)) == 0 ? f32x4.splat(0) : low;
    for (let i: usize = 0; i < 2; i++) {
      const p = x + 128 * b + 64 * i;
      v128.store(codes + 32 * b + 16 * i, bytes16(
        f32x4.sub(round4(f32x4.mul(inverse, v128.load(p)), low, high), shift),
        f32x4.sub(round4(f32x4.mul(inverse, v128.load(p, 16)), low, high), shift),
        f32x4.sub(round4(f32x4.mul(inverse, v128.load(p, 32)), low, high), shift),
        f32x4.sub(round4(f32x4.mul(inverse, v128.load(p, 48)), low, high), shift),
      ));
    }
  }
}
