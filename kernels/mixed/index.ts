/**
 * Products of 4-bit weights with inputs that take 4 or 8 bits by block of 128 columns (COMET, arXiv:2410.12168), and of
 * 8-bit weights with 8-bit inputs.
 *
 * Weights [rows, blocks · 128] lie in panels of four rows, a panel in blocks of 256 bytes, 64 for each row: lane l of the
 * v-th vector of eight 16-bit words holds the columns 32·v + 8·n + l in its nibbles n. Nibbles 0 and 2 are kept with 8
 * added, 1 and 3 in two's complement: in the high nibble of a word a code needs no extension of its sign, it is 4096
 * times itself. The same words serve inputs of both widths.
 *
 * Inputs of a wide block are 128 codes of 16 bits. Those of a narrow block come in pairs, x[8·n′] + 4096 · x[8·n], so
 * that one 16-bit product (w + 4096·w′)(x′ + 4096·x) holds w·x + w′·x′ in bits 12 to 23: sums of eight such pairs stay
 * below 2048, and twelve bits below them never carry.
 *
 * The build with relaxed dot products multiplies bytes instead (bytes.ts): codes of a block take 128 bytes at either
 * width, for each vector of weights its nibbles 0 and 2 side by side, then 1 and 3; all nibbles have 8 added there.
 *
 * Scales lie [panel][block][row] and [token][block]; `lifts` [token][block] are 8 · Σ of the inputs of nibbles with 8 added.
 * One order for every output: the branch of low rank, rank ascending, then blocks in ascending order, each an exact
 * integer times both scales, in float32 with one rounding per multiplication and addition. The plain twin in
 * src/engine/kernels/mixed-plain.ts gives the same bits.
 */
import { held, highest, whole } from '../lowbit/vector';
import { productBytes } from './bytes';
import { beside, scaled, sums } from './outputs';

// @ts-ignore: decorator
@inline
const block: i32 = 128;

// @ts-ignore: decorator
@inline
function swapped(w: v128): v128 {
  return v128.shuffle<i8>(w, w, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
}

/** Two products of 32 columns with pairs of narrow inputs. */
// @ts-ignore: decorator
@inline
function pairs(w: v128, x: usize, outer: v128): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(v128.and(w, outer), v128.load(x)), i32x4.dot_i16x8_s(v128.and(swapped(w), outer), v128.load(x, 16)));
}

/** A half of a block of one row with narrow inputs: the field of bits 12 to 23 with its sign, rounded by what lies below it. */
// @ts-ignore: decorator
@inline
function narrowHalf(w: usize, x: usize, outer: v128, round: v128): v128 {
  return i32x4.shr_s(i32x4.shl(i32x4.add(round, i32x4.add(pairs(v128.load(w), x, outer), pairs(v128.load(w, 16), x + 32, outer))), 8), 20);
}

/** 32 columns of one row with wide inputs. */
// @ts-ignore: decorator
@inline
function wideDots(w: v128, x: usize, low: v128): v128 {
  const even = i32x4.add(i32x4.dot_i16x8_s(v128.and(w, low), v128.load(x)), i32x4.dot_i16x8_s(v128.and(i16x8.shr_u(w, 8), low), v128.load(x, 32)));
  const odd = i32x4.add(i32x4.dot_i16x8_s(i16x8.shr_s(i16x8.shl(w, 8), 12), v128.load(x, 16)), i32x4.dot_i16x8_s(i16x8.shr_s(w, 12), v128.load(x, 48)));
  return i32x4.add(even, odd);
}

/**
 * out[token][4 · panel + row] for panels [first, last); `stride` in values. `wide` holds a byte per block; codes of a
 * token take `width` bytes. A branch of low rank, values [panel][rank][row] with inputs [token][rank], comes first. The first
 * results hold constants before they are made.
 */
export function product(w: usize, scales: usize, blocks: i32, wide: usize, codes: usize, width: usize, inScales: usize, lifts: usize, branch: usize, down: usize, rank: i32, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  if (ASC_FEATURE_RELAXED_SIMD) return productBytes(w, scales, blocks, codes, width, inScales, lifts, branch, down, rank, tokens, out, stride, first, last);
  const made = out + (<usize>first << 4);
  const low = held(i16x8.splat(0x000f), made), outer = held(i16x8.splat(<i16>0xf00f), made), round = held(i32x4.splat(2048), made);
  for (let p = first; p < last; p++) {
    const panel = w + (<usize>p * <usize>blocks << 8);
    const ps = scales + (<usize>p * <usize>blocks << 4);
    const up = branch + (<usize>p * <usize>rank << 4);
    for (let t = 0; t < tokens; t++) {
      let at = panel;
      let x = codes + <usize>t * width;
      let side = <usize>(t * blocks) << 2;
      let acc = beside(up, down + (<usize>t * <usize>rank << 2), rank);
      for (let b = 0; b < blocks; b++) {
        let a0 = i32x4.splat(0), b0 = a0, c0 = a0, d0 = a0;
        const end = at + 64;
        if (load<u8>(wide + b) !== 0) {
          for (; at < end; at += 16, x += 64) {
            a0 = i32x4.add(a0, wideDots(v128.load(at), x, low));
            b0 = i32x4.add(b0, wideDots(v128.load(at, 64), x, low));
            c0 = i32x4.add(c0, wideDots(v128.load(at, 128), x, low));
            d0 = i32x4.add(d0, wideDots(v128.load(at, 192), x, low));
          }
        } else {
          for (; at < end; at += 32, x += 64) {
            a0 = i32x4.add(a0, narrowHalf(at, x, outer, round));
            b0 = i32x4.add(b0, narrowHalf(at + 64, x, outer, round));
            c0 = i32x4.add(c0, narrowHalf(at + 128, x, outer, round));
            d0 = i32x4.add(d0, narrowHalf(at + 192, x, outer, round));
          }
        }
        acc = f32x4.add(acc, scaled(sums(a0, b0, c0, d0), lifts + side, v128.load(ps + (<usize>b << 4)), inScales + side));
        at += 192;
        side += 4;
      }
      v128.store(out + (<usize>(t * stride + p * 4) << 2), acc);
    }
  }
}

// @ts-ignore: decorator
@inline
function largest(x: usize, order: usize, count: i32): f32 {
  let top = f32x4.splat(0);
  for (let i: usize = 0; i < <usize>count << 2; i += 16) top = f32x4.max(top, f32x4.abs(taken(x, order, i)));
  return highest(top);
}

/** Four values at an offset in bytes, or those that an order puts there. */
// @ts-ignore: decorator
@inline
function taken(x: usize, order: usize, i: usize): v128 {
  if (order === 0) return v128.load(x + i);
  let v = f32x4.splat(load<f32>(x + (<usize>load<u32>(order + i) << 2)));
  v = f32x4.replace_lane(v, 1, load<f32>(x + (<usize>load<u32>(order + i, 4) << 2)));
  v = f32x4.replace_lane(v, 2, load<f32>(x + (<usize>load<u32>(order + i, 8) << 2)));
  return f32x4.replace_lane(v, 3, load<f32>(x + (<usize>load<u32>(order + i, 12) << 2)));
}

/** Eight codes. */
// @ts-ignore: decorator
@inline
function codesOf(x: usize, order: usize, i: usize, by: v128, most: v128): v128 {
  const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(taken(x, order, i), by)));
  const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(taken(x, order, i + 16), by)));
  return i16x8.max_s(i16x8.min_s(i16x8.narrow_i32x4_s(a, b), most), i16x8.neg(most));
}

/** The low bytes of two vectors of words, the second in the high bytes. */
// @ts-ignore: decorator
@inline
function sideBySide(a: v128, b: v128): v128 { return v128.or(v128.and(a, i16x8.splat(255)), i16x8.shl(b, 8)); }

/** What codes are multiplied with: the extreme value over the largest code, 1 where all are zero. */
// @ts-ignore: decorator
@inline
function scaleOf(amax: f32, most: f32): f32 {
  return amax === 0 ? 1 : max(amax / most, reinterpret<f32>(1));
}

/** Rounds tokens [tokens, blocks · 128], of the columns that `order` puts at each place where it is not 0; a token's codes take `width` bytes. */
export function roundBlocks(x: usize, tokens: i32, blocks: i32, wide: usize, order: usize, codes: usize, width: usize, scales: usize, lifts: usize): void {
  for (let t = 0; t < tokens; t++) {
    let to = codes + <usize>t * width;
    for (let b = 0; b < blocks; b++) {
      const begin = <usize>(b * block) << 2;
      const from = order === 0 ? x + begin : x;
      const places: usize = order === 0 ? 0 : order + begin;
      const isWide = load<u8>(wide + b) !== 0;
      const top: f32 = isWide ? 127 : 7;
      const scale = scaleOf(largest(from, places, block), top);
      const by = f32x4.splat(scale);
      const most = i16x8.splat(<i16>top);
      let lift = i32x4.splat(0);
      const ones = i16x8.splat(8);
      for (let v: usize = 0; v < 512; v += 128) {
        const x0 = codesOf(from, places, v, by, most), x1 = codesOf(from, places, v + 32, by, most);
        const x2 = codesOf(from, places, v + 64, by, most), x3 = codesOf(from, places, v + 96, by, most);
        const even = i16x8.add(x0, x2);
        lift = i32x4.add(lift, i32x4.dot_i16x8_s(ASC_FEATURE_RELAXED_SIMD ? i16x8.add(even, i16x8.add(x1, x3)) : even, ones));
        if (ASC_FEATURE_RELAXED_SIMD) {
          v128.store(to, sideBySide(x0, x2));
          v128.store(to, sideBySide(x1, x3), 16);
          to += 32;
        } else if (isWide) {
          v128.store(to, x0);
          v128.store(to, x1, 16);
          v128.store(to, x2, 32);
          v128.store(to, x3, 48);
          to += 64;
        } else {
          v128.store(to, i16x8.add(x3, i16x8.shl(x0, 12)));
          v128.store(to, i16x8.add(x1, i16x8.shl(x2, 12)), 16);
          to += 32;
        }
      }
      store<f32>(scales, scale);
      store<i32>(lifts, whole(lift));
      scales += 4;
      lifts += 4;
    }
    x += <usize>(blocks * block) << 2;
  }
}

/** Rounds tokens [tokens, cols], a multiple of 32, to codes of 8 bits kept in 16, with one scale each. */
export function roundTokens(x: usize, tokens: i32, cols: i32, codes: usize, scales: usize): void {
  const most = i16x8.splat(127);
  for (let t = 0; t < tokens; t++) {
    const scale = scaleOf(largest(x, 0, cols), 127);
    const by = f32x4.splat(scale);
    for (let i: usize = 0; i < <usize>cols << 2; i += 32) v128.store(codes + (i >> 1), codesOf(x, 0, i, by, most));
    store<f32>(scales + (<usize>t << 2), scale);
    x += <usize>cols << 2;
    codes += <usize>cols << 1;
  }
}

/** Σ of 16 signed bytes times 16 codes. */
// @ts-ignore: decorator
@inline
function dot16(w: usize, x: usize): v128 {
  return i32x4.add(i32x4.dot_i16x8_s(v128.load(x), v128.load8x8_s(w)), i32x4.dot_i16x8_s(v128.load(x, 16), v128.load8x8_s(w, 8)));
}

/** Eight bits of both, one scale for each row and each token: weights [panel][⌈cols / 16⌉][row][16], sums in integers from end to end. */
export function product8(w: usize, scales: usize, cols: i32, codes: usize, inScales: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  for (let p = first; p < last; p++) {
    const ws = v128.load(scales + (<usize>p << 4));
    const panel = w + (<usize>p * <usize>cols << 2);
    for (let t = 0; t < tokens; t++) {
      let at = panel;
      let x = codes + (<usize>t * <usize>cols << 1);
      const end = x + (<usize>cols << 1);
      let a = i32x4.splat(0), b = i32x4.splat(0), c = i32x4.splat(0), d = i32x4.splat(0);
      while (x < end) {
        a = i32x4.add(a, dot16(at, x));
        b = i32x4.add(b, dot16(at + 16, x));
        c = i32x4.add(c, dot16(at + 32, x));
        d = i32x4.add(d, dot16(at + 48, x));
        at += 64;
        x += 32;
      }
      v128.store(out + (<usize>(t * stride + p * 4) << 2), f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sums(a, b, c, d)), ws), v128.load32_splat(inScales + (<usize>t << 2))));
    }
  }
}
