/**
 * Keys and values of 32 positions as a block of asymmetric integers of 4 or 8 bits, and attention over blocks.
 *
 * A block of one head whose width, filled up to a multiple of 32, is `padded`:
 *   keys     for each position `padded` codes; scale and minimum of each channel over the block, as halves [padded] each;
 *   values   for each pair of positions 2 · `padded` codes; scale and minimum of each position, as halves [32] each.
 * Codes of 8 bits lie in order, those of values as (position, next position) for each channel. Codes of 4 bits lie in
 * words of 16 bits: of keys, bits 4·n of word 8·j + l hold channel 32·j + 8·n + l; of values, bits 4·n of word 8·j + l
 * hold channel 16·j + 4·n + ⌊l / 2⌋ of position l mod 2.
 *
 * Queries times the scales of a block, and probabilities times the scales of positions, are rounded to 16 bits, so that
 * sums over channels and over the positions of a block are sums of integers. Everything else is in float32, blocks in
 * ascending order, each operation rounded once: plain twins in src/engine/kernels/kvcache-plain.ts give the same bits.
 */
import { fromHalf, toHalf } from '../ggml/half';
import { held, total, whole } from '../lowbit/vector';
import { mixRows, round16, rowScores, softened } from './rows';

// @ts-ignore: decorator
@inline
const positions: usize = 32;

/** The half nearest to x, of finite ones. */
// @ts-ignore: decorator
@inline
function finiteHalf(x: f32): u32 {
  return toHalf(min(max(x, <f32>-65504), <f32>65504));
}

/** Puts code (position, channel) of keys or values where it belongs, into bytes that were zero. */
// @ts-ignore: decorator
@inline
function put(codes: usize, padded: usize, position: usize, channel: usize, isValue: bool, four: bool, code: u32): void {
  if (!four) {
    store<u8>(isValue ? codes + (position >> 1) * 2 * padded + 2 * channel + (position & 1) : codes + position * padded + channel, <u8>code);
    return;
  }
  const at = isValue
    ? codes + (position >> 1) * padded + ((channel >> 4) << 4) + ((channel & 3) << 2) + ((position & 1) << 1)
    : codes + position * (padded >> 1) + ((channel >> 5) << 4) + ((channel & 7) << 1);
  const n: u32 = isValue ? <u32>(channel >> 2) & 3 : <u32>(channel >> 3) & 3;
  store<u16>(at, load<u16>(at) | <u16>(code << (n << 2)));
}

// @ts-ignore: decorator
@inline
function code(x: f32, minimum: f32, scale: f32, levels: f32): u32 {
  return scale > 0 ? <u32>min(max(nearest((x - minimum) / scale), <f32>0), levels) : 0;
}

/** Rounds a group of `count` floats, `apart` bytes from each other: a channel of keys or a position of values. */
// @ts-ignore: decorator
@inline
function encodeGroup(x: usize, apart: usize, count: usize, codes: usize, padded: usize, sides: usize, groups: usize, group: usize, isValue: bool, four: bool): void {
  const levels: f32 = four ? 15 : 255;
  let low: f32 = Infinity, high: f32 = -Infinity;
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(x + i * apart);
    low = min(low, value);
    high = max(high, value);
  }
  const s = finiteHalf((high - low) / levels), m = finiteHalf(low);
  store<u16>(sides + 2 * group, <u16>s);
  store<u16>(sides + 2 * groups + 2 * group, <u16>m);
  const scale = fromHalf(s), minimum = fromHalf(m);
  for (let i: usize = 0; i < count; i++, x += apart) put(codes, padded, isValue ? group : i, isValue ? i : group, isValue, four, code(load<f32>(x), minimum, scale, levels));
}

/** Rounds the rows of 32 positions, `stride` bytes apart, into a block. */
// @ts-ignore: decorator
@inline
function encode(keys: usize, values: usize, stride: usize, width: usize, block: usize, four: bool): void {
  const padded = (width + 31) & ~31;
  const codes = four ? positions * padded >> 1 : positions * padded;
  const valueBlock = block + codes + 4 * padded;
  memory.fill(block, 0, codes + 4 * padded + codes + 4 * positions);
  for (let c: usize = 0; c < width; c++) encodeGroup(keys + 4 * c, stride, positions, block, padded, block + codes, padded, c, false, four);
  for (let p: usize = 0; p < positions; p++) encodeGroup(values + p * stride, 4, width, valueBlock, padded, valueBlock + codes, positions, p, true, four);
}

export function encode4(keys: usize, values: usize, stride: usize, width: i32, block: usize): void {
  encode(keys, values, stride, width, block, true);
}

export function encode8(keys: usize, values: usize, stride: usize, width: i32, block: usize): void {
  encode(keys, values, stride, width, block, false);
}

/** Four halves as floats. */
// @ts-ignore: decorator
@inline
function halves4(at: usize): v128 {
  const h = i32x4.extend_low_i16x8_u(v128.load64_zero(at));
  const magnitude = f32x4.mul(i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13), i32x4.splat(0x77800000));
  return v128.or(magnitude, i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16));
}

/** One of the four nibbles of each of eight words. */
// @ts-ignore: decorator
@inline
function nibble(w: v128, n: i32, low: v128): v128 {
  return n == 3 ? i16x8.shr_u(w, 12) : v128.and(n == 0 ? w : i16x8.shr_u(w, 4 * n), low);
}

/** Σ of a key's codes times 16-bit words. */
// @ts-ignore: decorator
@inline
function dotKey(key: usize, query: usize, padded: usize, four: bool, low: v128): f32 {
  let sum = i32x4.splat(0);
  if (four) {
    for (let i: usize = 0; i < padded; i += 32) {
      const w = v128.load(key + (i >> 1));
      const x = query + 2 * i;
      sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(nibble(w, 0, low), v128.load(x)), i32x4.dot_i16x8_s(nibble(w, 1, low), v128.load(x, 16))));
      sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(nibble(w, 2, low), v128.load(x, 32)), i32x4.dot_i16x8_s(nibble(w, 3, low), v128.load(x, 48))));
    }
  } else {
    for (let i: usize = 0; i < padded; i += 16) {
      const w = v128.load(key + i);
      const x = query + 2 * i;
      sum = i32x4.add(sum, i32x4.add(i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(w), v128.load(x)), i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(w), v128.load(x, 16))));
    }
  }
  return <f32>whole(sum);
}

/** out += scale · Σ weights · codes of a block's values. */
// @ts-ignore: decorator
@inline
function mixBlock(codes: usize, weights: usize, padded: usize, scale: f32, out: usize, four: bool, low: v128): void {
  const by = f32x4.splat(scale);
  const pairBytes = four ? padded : 2 * padded;
  for (let c: usize = 0; c < padded; c += 16) {
    let a = i32x4.splat(0), b = i32x4.splat(0), d = i32x4.splat(0), e = i32x4.splat(0);
    let at = codes + (four ? c : 2 * c);
    for (let pair: usize = 0; pair < positions; pair += 2) {
      const w = v128.load32_splat(weights + 2 * pair);
      const v = v128.load(at);
      if (four) {
        a = i32x4.add(a, i32x4.dot_i16x8_s(nibble(v, 0, low), w));
        b = i32x4.add(b, i32x4.dot_i16x8_s(nibble(v, 1, low), w));
        d = i32x4.add(d, i32x4.dot_i16x8_s(nibble(v, 2, low), w));
        e = i32x4.add(e, i32x4.dot_i16x8_s(nibble(v, 3, low), w));
      } else {
        const more = v128.load(at, 16);
        a = i32x4.add(a, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(v), w));
        b = i32x4.add(b, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(v), w));
        d = i32x4.add(d, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(more), w));
        e = i32x4.add(e, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(more), w));
      }
      at += pairBytes;
    }
    const o = out + 4 * c;
    v128.store(o, f32x4.add(v128.load(o), f32x4.mul(f32x4.convert_i32x4_s(a), by)));
    v128.store(o, f32x4.add(v128.load(o, 16), f32x4.mul(f32x4.convert_i32x4_s(b), by)), 16);
    v128.store(o, f32x4.add(v128.load(o, 32), f32x4.mul(f32x4.convert_i32x4_s(d), by)), 32);
    v128.store(o, f32x4.add(v128.load(o, 48), f32x4.mul(f32x4.convert_i32x4_s(e), by)), 48);
  }
}

/**
 * Attention of one query head: over positions from `from` on in `blocks` blocks, `blockStride` bytes apart, then over rows
 * [first, last) of float keys and values, `stride` bytes apart, then over the `more` rows that are listed. `from` counts
 * from the first block. `scores` holds a multiple of four values, `scratch` 10 bytes for each of `padded` channels and of 32
 * positions, `mixed` `padded` values.
 */
// @ts-ignore: decorator
@inline
function attend(query: usize, width: usize, scale: f32, blockAt: usize, blockStride: usize, blocks: usize, from: usize, keys: usize, values: usize, stride: usize, first: i32, last: i32, listed: usize, more: i32, scores: usize, scratch: usize, out: usize, four: bool): void {
  const bytes = width << 2;
  const padded = (width + 31) & ~31;
  const codes = four ? positions * padded >> 1 : positions * padded;
  const row = four ? padded >> 1 : padded;
  const coded = blocks * positions;
  const words = scratch + 4 * (padded + positions);
  const mixed = words + 2 * (padded + positions);
  const low = held(i16x8.splat(15), scratch);
  let top: f32 = -Infinity;
  for (let p: usize = 0; p < from; p++) store<f32>(scores + 4 * p, -Infinity);
  for (let i = bytes; i < 4 * padded; i += 4) store<f32>(scratch + i, 0);
  for (let b: usize = 0; b < blocks; b++) {
    const block = blockAt + b * blockStride;
    const scales = block + codes;
    let most = f32x4.splat(0), less = f32x4.splat(0);
    for (let i: usize = 0; i < bytes; i += 16) {
      const x = v128.load(query + i);
      const q = f32x4.mul(x, halves4(scales + (i >> 1)));
      v128.store(scratch + i, q);
      most = f32x4.max(most, f32x4.abs(q));
      less = f32x4.add(less, f32x4.mul(x, halves4(scales + 2 * padded + (i >> 1))));
    }
    const by = round16(scratch, padded, most, words);
    const minimum = total(less);
    for (let p: usize = b == 0 ? from : 0; p < positions; p++) {
      const score = (dotKey(block + p * row, words, padded, four, low) * by + minimum) * scale;
      store<f32>(scores + ((b * positions + p) << 2), score);
      top = max(top, score);
    }
  }
  top = rowScores(query, bytes, scale, keys, stride, first, last, listed, more, scores + (coded << 2), top);
  const sum = f32x4.splat(total(softened(scores, coded + <usize>(last - first + more), top)));
  memory.fill(mixed, 0, 4 * padded);
  let minima = f32x4.splat(0);
  for (let b: usize = 0; b < blocks; b++) {
    const block = blockAt + b * blockStride + codes + 4 * padded;
    let most = f32x4.splat(0);
    for (let i: usize = 0; i < 4 * positions; i += 16) {
      const p = v128.load(scores + ((b * positions) << 2) + i);
      const w = f32x4.mul(p, halves4(block + codes + (i >> 1)));
      v128.store(scratch + i, w);
      most = f32x4.max(most, w);
      minima = f32x4.add(minima, f32x4.mul(p, halves4(block + codes + 2 * positions + (i >> 1))));
    }
    const by = round16(scratch, positions, most, words);
    mixBlock(block, words, padded, by, mixed, four, low);
  }
  mixRows(mixed, bytes, scores + (coded << 2), values, stride, first, last, listed, more, f32x4.splat(total(minima)), sum, out);
}

export function attend4(query: usize, width: i32, scale: f32, blockAt: usize, blockStride: usize, blocks: i32, from: i32, keys: usize, values: usize, stride: usize, first: i32, last: i32, listed: usize, more: i32, scores: usize, scratch: usize, out: usize): void {
  attend(query, width, scale, blockAt, blockStride, blocks, from, keys, values, stride, first, last, listed, more, scores, scratch, out, true);
}

export function attend8(query: usize, width: i32, scale: f32, blockAt: usize, blockStride: usize, blocks: i32, from: i32, keys: usize, values: usize, stride: usize, first: i32, last: i32, listed: usize, more: i32, scores: usize, scratch: usize, out: usize): void {
  attend(query, width, scale, blockAt, blockStride, blocks, from, keys, values, stride, first, last, listed, more, scores, scratch, out, false);
}
