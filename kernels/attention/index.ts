/**
 * Attention of one head, tile by tile with an online softmax: in float32, and with integer products (SageAttention2).
 * Query rows go in blocks of 32, keys in tiles of 64. The head's width is a multiple of 4, `wide` of 8.
 *
 * Row r sees keys [max(0, h − window), h) with h = min(count, shown + r · step): step 1 is causal, step 0 shows all rows
 * the same. A row that sees none gives zeros.
 *
 * Packed for floats, per tile: keys [wide][64], values [64][wide].
 * Packed for codes, per tile: keys less their mean [wide][64] in floats, their codes, scales [64], codes of values
 * [32][wide][2]; then scales and means of values [wide] each. Codes of 8 bits fill 16, [wide / 2][64][2]; codes of 4 bits
 * go in pairs into 16, [wide / 4][64][2], as tiles.ts says, and use half of the room. The build with relaxed dot products
 * holds bytes instead, as score-tile.ts says.
 *
 * Sums over channels and keys of a tile ascend, in float32 or exactly in integers; a tile's output is added to what is
 * kept of earlier ones. Plain twins in src/engine/kernels/attention-plain.ts give the same bits.
 */
import { exp4, highest, highest4, total, whole } from '../lowbit/vector';
import { byteTile, floatTile, nibbleTile } from './tiles';
import { scoreTile } from './score-tile';

const tile: i32 = 64;
const block: i32 = 32;
/** Query rows whose mean is taken out together, and their blocks. */
const smoothed: i32 = 128;
/** Largest code of probabilities and values: 64 · 4095² is below 2^31. */
const most: f32 = 4095;
/** Below every score, and finite, so that a row without keys makes no NaN. */
const lowest: f32 = -1e38;

// @ts-ignore: decorator
@inline
function up8(n: i32): i32 { return (n + 7) & ~7; }
// @ts-ignore: decorator
@inline
function floatTileBytes(wide: i32): usize { return <usize>wide * 512; }
// @ts-ignore: decorator
@inline
function codeTileBytes(wide: i32): usize { return <usize>wide * 512 + 256; }
// @ts-ignore: decorator
@inline
function lanes(wide: i32): usize { return <usize>wide << 2; }

/** Keys and values of `count` positions, `stride` bytes apart, as `attendFloat` reads them. */
export function packFloat(keys: usize, values: usize, stride: usize, count: i32, width: i32, to: usize): void {
  const wide = up8(width);
  for (let first = 0; first < count; first += tile) {
    memory.fill(to, 0, floatTileBytes(wide));
    const rows = min(tile, count - first);
    for (let r = 0; r < rows; r++) {
      const from = <usize>(first + r) * stride;
      for (let i = 0; i < width; i++) store<f32>(to + (<usize>(i * tile + r) << 2), load<f32>(keys + from + (<usize>i << 2)));
      memory.copy(to + (<usize>(tile * wide + r * wide) << 2), values + from, <usize>width << 2);
    }
    to += floatTileBytes(wide);
  }
}

// @ts-ignore: decorator
@inline
function seenBy(row: i32, count: i32, shown: i32, step: i32): i32 { return max(0, min(count, shown + row * step)); }

/** The largest of a row's scores in every lane. */
// @ts-ignore: decorator
@inline
function largestOf(scores: usize, end: usize): v128 {
  let high = v128.load(scores), other = v128.load(scores, 16);
  for (let i: usize = 32; i < end; i += 32) {
    high = f32x4.pmax(high, v128.load(scores + i));
    other = f32x4.pmax(other, v128.load(scores + i, 16));
  }
  return highest4(f32x4.pmax(high, other));
}

/**
 * Scores of a row over a tile become e^(s − top), in place or as codes. `state` holds the top, the norm, and the factor of
 * what is kept of earlier tiles. Keys outside of [from, to) weigh nothing. Integer scores are products of codes, to be
 * multiplied by the scales of row and keys and shifted.
 */
// @ts-ignore: decorator
@inline
function soften(codes: bool, scores: usize, cols: i32, from: i32, to: i32, state: usize, scale: usize, keyScales: usize, shift: usize, weights: usize): void {
  const end = <usize>cols << 2;
  if (codes) {
    const own = v128.load32_splat(scale);
    for (let i: usize = 0; i < end; i += 16) {
      const value = f32x4.mul(f32x4.convert_i32x4_s(v128.load(scores + i)), f32x4.mul(own, v128.load(keyScales + i)));
      v128.store(scores + i, f32x4.add(value, v128.load(shift + i)));
    }
  }
  for (let c = 0; c < min(from, cols); c++) store<f32>(scores + (<usize>c << 2), -Infinity);
  for (let c = max(to, 0); c < cols; c++) store<f32>(scores + (<usize>c << 2), -Infinity);
  const before = v128.load32_splat(state);
  const top = f32x4.pmax(before, largestOf(scores, end));
  const least = f32x4.splat(-100);
  let norm = f32x4.splat(0);
  for (let i: usize = 0; i < end; i += 32) {
    const a = exp4(f32x4.pmax(least, f32x4.sub(v128.load(scores + i), top)));
    const b = exp4(f32x4.pmax(least, f32x4.sub(v128.load(scores + i, 16), top)));
    norm = f32x4.add(f32x4.add(norm, a), b);
    if (codes) {
      v128.store(weights + (i >> 1), i16x8.narrow_i32x4_s(weightCodes(a), weightCodes(b)));
    } else {
      v128.store(scores + i, a);
      v128.store(scores + i, b, 16);
    }
  }
  const keep = f32x4.extract_lane(exp4(f32x4.pmax(least, f32x4.sub(before, top))), 0);
  store<f32>(state, f32x4.extract_lane(top, 0));
  store<f32>(state, load<f32>(state, 4) * keep + total(norm), 4);
  store<f32>(state, keep, 8);
}

/** What is kept of a row, brought to its new top, and what a tile adds. */
// @ts-ignore: decorator
@inline
function gather(codes: bool, kept: usize, mixed: usize, bytes: usize, state: usize): void {
  const keep = v128.load32_splat(state, 8);
  for (let i: usize = 0; i < bytes; i += 16) {
    const more = v128.load(mixed + i);
    v128.store(kept + i, f32x4.add(f32x4.mul(v128.load(kept + i), keep), codes ? f32x4.convert_i32x4_s(more) : more));
  }
}

/** `scratch` as many bytes as `floatScratchBytes` says; strides in bytes. */
export function attendFloat(query: usize, queryStride: usize, rows: i32, width: i32, packed: usize, count: i32, scale: f32, shown: i32, step: i32, window: i32, scratch: usize, out: usize, outStride: usize): void {
  const wide = up8(width);
  const row = lanes(wide);
  const q = scratch;
  const mixed = q + <usize>block * row;
  const kept = mixed + <usize>block * row;
  const scores = kept + <usize>block * row;
  const state = scores + <usize>(block * tile * 4);
  memory.fill(q, 0, <usize>block * row);
  for (let first = 0; first < rows; first += block) {
    const n = min(block, rows - first);
    const n4 = (n + 3) & ~3;
    for (let r = 0; r < n; r++) {
      const from = query + <usize>(first + r) * queryStride;
      for (let i: usize = 0; i < lanes(width); i += 16) v128.store(q + <usize>r * row + i, f32x4.mul(v128.load(from + i), f32x4.splat(scale)));
      store<f32>(state + (<usize>r << 4), lowest);
      store<f32>(state + (<usize>r << 4), 0, 4);
    }
    memory.fill(kept, 0, <usize>block * row);
    const last = seenBy(first + n - 1, count, shown, step);
    for (let t = max(0, seenBy(first, count, shown, step) - window) / tile; t * tile < last; t++) {
      const keys = packed + <usize>t * floatTileBytes(wide);
      const cols = up8(min(tile, count - t * tile));
      floatTile(q, row, keys, tile * 4, wide, n4, cols, scores, tile * 4);
      for (let r = 0; r < n; r++) {
        const to = seenBy(first + r, count, shown, step);
        soften(false, scores + <usize>(r * tile * 4), cols, to - window - t * tile, to - t * tile, state + (<usize>r << 4), 0, 0, 0, 0);
      }
      floatTile(scores, tile * 4, keys + <usize>wide * 256, row, cols, n4, wide, mixed, row);
      for (let r = 0; r < n; r++) gather(false, kept + <usize>r * row, mixed + <usize>r * row, row, state + (<usize>r << 4));
    }
    for (let r = 0; r < n; r++) {
      const norm = load<f32>(state + (<usize>r << 4), 4);
      const to = out + <usize>(first + r) * outStride;
      for (let i: usize = 0; i < <usize>width << 2; i += 4) store<f32>(to + i, norm > 0 ? load<f32>(kept + <usize>r * row + i) / norm : 0);
    }
  }
}

/** Mean of each channel over rows, or zeros. */
function means(x: usize, stride: usize, rows: i32, width: i32, to: usize, smooth: bool): void {
  memory.fill(to, 0, lanes(up8(width)));
  if (!smooth) return;
  for (let r = 0; r < rows; r++) {
    for (let i: usize = 0; i < lanes(width); i += 16) v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(x + <usize>r * stride + i)));
  }
  for (let i: usize = 0; i < lanes(width); i += 16) v128.store(to + i, f32x4.div(v128.load(to + i), f32x4.splat(<f32>rows)));
}

/** Which scale a row of a tile of queries or of keys takes; `grouping` 0 by row, 1 as a GPU's thread holds them, 2 per 32 queries and 64 keys, 3 per tile. */
// @ts-ignore: decorator
@inline
function groupOf(grouping: i32, row: i32, ofKeys: bool): i32 {
  if (grouping === 0) return row;
  if (grouping === 1) return ofKeys ? (row & 7) >> 1 : (row >> 5 << 3) + (row & 7);
  return grouping === 2 && !ofKeys ? row >> 5 : 0;
}

/** Scales of rows of floats [rows][wide]: the largest of the group over the largest code, and a little. */
function groupScales(x: usize, rows: i32, wide: i32, grouping: i32, ofKeys: bool, largest: f32, groups: usize, scales: usize): void {
  memory.fill(groups, 0, <usize>smoothed << 2);
  for (let r = 0; r < rows; r++) {
    let top = f32x4.splat(0);
    for (let i: usize = 0; i < lanes(wide); i += 16) top = f32x4.max(top, f32x4.abs(v128.load(x + <usize>r * lanes(wide) + i)));
    const group = groups + (<usize>groupOf(grouping, r, ofKeys) << 2);
    store<f32>(group, max(load<f32>(group), highest(top)));
  }
  for (let r = 0; r < rows; r++) store<f32>(scales + (<usize>r << 2), load<f32>(groups + (<usize>groupOf(grouping, r, ofKeys) << 2)) / largest + <f32>1e-7);
}

/** Four of x / scale to the nearest integers, halves away from zero. */
// @ts-ignore: decorator
@inline
function codesOf(x: usize, scale: v128): v128 {
  const y = f32x4.div(v128.load(x), scale);
  return i32x4.trunc_sat_f32x4_s(f32x4.add(y, v128.or(v128.and(y, i32x4.splat(1 << 31)), f32x4.splat(0.5))));
}

/** Eight codes as bytes: those of keys as nibbles above zero, where there are eight bits the higher ones `plane` bytes behind the lower. */
// @ts-ignore: decorator
@inline
function encodeBytes(codes: v128, largest: f32, ofKeys: bool, to: usize, distance: usize, plane: usize): void {
  const lifted = ofKeys ? i16x8.add(codes, i16x8.splat(largest > 7 ? 128 : 8)) : codes;
  const low = ofKeys && largest > 7 ? v128.and(lifted, i16x8.splat(15)) : lifted;
  const bytes = i8x16.narrow_i16x8_s(low, low);
  v128.store32_lane(to, bytes, 0);
  v128.store32_lane(to + distance, bytes, 1);
  if (!ofKeys || largest <= 7) return;
  const high = i8x16.narrow_i16x8_s(i16x8.shr_u(lifted, 4), lifted);
  v128.store32_lane(to + plane, high, 0);
  v128.store32_lane(to + plane + distance, high, 1);
}

/** Codes of a row of keys or queries [wide], `distance` bytes from one word of 32 bits to the next; queries of bytes are followed by what keys above zero add to their products, negated. */
// @ts-ignore: decorator
@inline
function encodeRow(x: usize, wide: i32, scale: f32, largest: f32, ofKeys: bool, to: usize, distance: usize): void {
  const by = f32x4.splat(scale);
  const plane = <usize>wide << 6;
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < lanes(wide); i += 32) {
    const codes = i16x8.narrow_i32x4_s(codesOf(x + i, by), codesOf(x + i + 16, by));
    if (ASC_FEATURE_RELAXED_SIMD && !ofKeys) sum = i32x4.add(sum, i32x4.dot_i16x8_s(codes, i16x8.splat(1)));
    if (ASC_FEATURE_RELAXED_SIMD) {
      encodeBytes(codes, largest, ofKeys, to, distance, plane);
      to += 2 * distance;
    } else if (largest > 7) {
      v128.store32_lane(to, codes, 0);
      v128.store32_lane(to + distance, codes, 1);
      v128.store32_lane(to + 2 * distance, codes, 2);
      v128.store32_lane(to + 3 * distance, codes, 3);
      to += 4 * distance;
    } else {
      const pairs = i32x4.dot_i16x8_s(codes, i32x4.splat(ofKeys ? 0x10000001 : 0x11000));
      const words = i16x8.narrow_i32x4_s(pairs, pairs);
      v128.store32_lane(to, words, 0);
      v128.store32_lane(to + distance, words, 1);
      to += 2 * distance;
    }
  }
  if (ASC_FEATURE_RELAXED_SIMD && !ofKeys) store<i32>(to, -whole(sum) * (largest > 7 ? 128 : 8));
}

/**
 * Keys and values as `attendCodes` reads them. `largest` is the largest code of keys; of values 4095. `scratch` takes
 * as many bytes as `codeScratchBytes` says.
 */
export function packCodes(keys: usize, values: usize, stride: usize, count: i32, width: i32, grouping: i32, largest: f32, smoothKeys: bool, smoothValues: bool, scratch: usize, to: usize): void {
  const wide = up8(width);
  const row = lanes(wide);
  const rowsAt = scratch;
  const mean = rowsAt + <usize>tile * row;
  const groups = mean + row;
  const tiles = (count + tile - 1) / tile;
  const valueScales = to + <usize>tiles * codeTileBytes(wide);
  const valueMeans = valueScales + row;
  means(keys, stride, count, width, mean, smoothKeys);
  means(values, stride, count, width, valueMeans, smoothValues);
  memory.fill(valueScales, 0, row);
  for (let r = 0; r < count; r++) {
    for (let i: usize = 0; i < lanes(width); i += 16) v128.store(valueScales + i, f32x4.pmax(v128.load(valueScales + i), f32x4.abs(f32x4.sub(v128.load(values + <usize>r * stride + i), v128.load(valueMeans + i)))));
  }
  for (let i: usize = 0; i < row; i += 4) {
    const amax = load<f32>(valueScales + i);
    store<f32>(valueScales + i, amax > 0 ? amax / most : 1);
  }
  for (let t = 0; t < tiles; t++) {
    const rows = min(tile, count - t * tile);
    const plain = to + <usize>t * codeTileBytes(wide);
    const codes = plain + <usize>wide * 256;
    const scales = codes + <usize>wide * 128;
    const valueCodes = scales + 256;
    memory.fill(plain, 0, codeTileBytes(wide));
    memory.fill(rowsAt, 0, <usize>tile * row);
    for (let r = 0; r < rows; r++) {
      const from = <usize>(t * tile + r) * stride;
      for (let i: usize = 0; i < lanes(width); i += 16) {
        const key = f32x4.sub(v128.load(keys + from + i), v128.load(mean + i));
        v128.store(rowsAt + <usize>r * row + i, key);
        const at = plain + (i << 6) + (<usize>r << 2);
        v128.store32_lane(at, key, 0);
        v128.store32_lane(at, key, 1, 256);
        v128.store32_lane(at, key, 2, 512);
        v128.store32_lane(at, key, 3, 768);
        // Values of two keys share a word.
        const value = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(f32x4.sub(v128.load(values + from + i), v128.load(valueMeans + i)), v128.load(valueScales + i))));
        const pair = valueCodes + <usize>(r >> 1) * row + i;
        v128.store(pair, (r & 1) === 0 ? v128.and(value, i32x4.splat(0xffff)) : v128.or(v128.load(pair), i32x4.shl(value, 16)));
      }
    }
    groupScales(rowsAt, rows, wide, grouping, true, largest, groups, scales);
    for (let r = 0; r < rows; r++) {
      encodeRow(rowsAt + <usize>r * row, wide, load<f32>(scales + (<usize>r << 2)), largest, true, codes + (<usize>r << 2), tile * 4);
    }
  }
}

/** Probabilities times 4095 to the nearest integer: beside 2^23 a float has no room for fractions. */
// @ts-ignore: decorator
@inline
function weightCodes(p: v128): v128 {
  return v128.and(f32x4.add(f32x4.mul(p, f32x4.splat(most)), f32x4.splat(8388608)), i32x4.splat(0x1fff));
}

/** out[64] = a[wide] · b[wide][64] · scale for one row. */
function rowTimes(a: usize, b: usize, wide: i32, scale: f32, out: usize): void {
  const by = f32x4.splat(scale);
  for (let c: usize = 0; c < 256; c += 64) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let i = 0; i < wide; i++) {
      const x = v128.load32_splat(a + (<usize>i << 2));
      const at = b + (<usize>i << 8) + c;
      s0 = f32x4.add(s0, f32x4.mul(x, v128.load(at)));
      s1 = f32x4.add(s1, f32x4.mul(x, v128.load(at, 16)));
      s2 = f32x4.add(s2, f32x4.mul(x, v128.load(at, 32)));
      s3 = f32x4.add(s3, f32x4.mul(x, v128.load(at, 48)));
    }
    v128.store(out + c, f32x4.mul(s0, by));
    v128.store(out + c, f32x4.mul(s1, by), 16);
    v128.store(out + c, f32x4.mul(s2, by), 32);
    v128.store(out + c, f32x4.mul(s3, by), 48);
  }
}

export function attendCodes(query: usize, queryStride: usize, rows: i32, width: i32, packed: usize, count: i32, scale: f32, shown: i32, step: i32, window: i32, grouping: i32, largest: f32, smoothQueries: bool, scratch: usize, out: usize, outStride: usize): void {
  const wide = up8(width);
  const row = lanes(wide);
  const tiles = (count + tile - 1) / tile;
  const plain = scratch;
  const codes = plain + <usize>smoothed * row;
  const scales = codes + <usize>smoothed * (row >> 1);
  const groups = scales + <usize>(smoothed * 4);
  const mean = groups + <usize>(smoothed * 4);
  const mixed = mean + row;
  const kept = mixed + <usize>block * row;
  const scores = kept + <usize>block * row;
  const weights = scores + <usize>(block * tile * 4);
  const state = weights + <usize>(block * tile * 2);
  const shift = state + <usize>(block * 16);
  const valueScales = packed + <usize>tiles * codeTileBytes(wide);
  const valueMeans = valueScales + row;
  for (let start = 0; start < rows; start += smoothed) {
    const together = min(smoothed, rows - start);
    const from = query + <usize>start * queryStride;
    means(from, queryStride, together, width, mean, smoothQueries);
    memory.fill(plain, 0, <usize>smoothed * row);
    memory.fill(codes, 0, <usize>smoothed * (row >> 1));
    for (let r = 0; r < together; r++) {
      for (let i: usize = 0; i < lanes(width); i += 16) v128.store(plain + <usize>r * row + i, f32x4.sub(v128.load(from + <usize>r * queryStride + i), v128.load(mean + i)));
    }
    groupScales(plain, together, wide, grouping, false, largest, groups, scales);
    for (let r = 0; r < together; r++) {
      const own = load<f32>(scales + (<usize>r << 2));
      encodeRow(plain + <usize>r * row, wide, own, largest, false, codes + <usize>r * (row >> 1), 4);
      store<f32>(scales + (<usize>r << 2), own * scale);
    }
    const far = seenBy(start + together - 1, count, shown, step);
    const near = max(0, seenBy(start, count, shown, step) - window) / tile;
    for (let t = near; t * tile < far; t++) {
      const to = shift + <usize>(t * tile * 4);
      if (smoothQueries) rowTimes(mean, packed + <usize>t * codeTileBytes(wide), wide, scale, to);
      else memory.fill(to, 0, tile * 4);
    }
    for (let first = 0; first < together; first += block) {
      const n = min(block, together - first);
      const n4 = (n + 3) & ~3;
      for (let r = 0; r < n; r++) {
        store<f32>(state + (<usize>r << 4), lowest);
        store<f32>(state + (<usize>r << 4), 0, 4);
      }
      memory.fill(kept, 0, <usize>block * row);
      const last = seenBy(start + first + n - 1, count, shown, step);
      for (let t = max(0, seenBy(start + first, count, shown, step) - window) / tile; t * tile < last; t++) {
        const keys = packed + <usize>t * codeTileBytes(wide) + <usize>wide * 256;
        const keyScales = keys + <usize>wide * 128;
        const cols = up8(min(tile, count - t * tile));
        const ownCodes = codes + <usize>first * (row >> 1);
        if (ASC_FEATURE_RELAXED_SIMD) scoreTile(largest > 7, ownCodes, row >> 1, keys, tile * 4, wide >> 2, n4, cols, scores, tile * 4);
        else if (largest > 7) byteTile(ownCodes, row >> 1, keys, tile * 4, wide >> 1, n4, cols, scores, tile * 4);
        else nibbleTile(ownCodes, row >> 1, keys, tile * 4, wide >> 2, n4, cols, scores, tile * 4);
        for (let r = 0; r < n; r++) {
          const to = seenBy(start + first + r, count, shown, step);
          soften(true, scores + <usize>(r * tile * 4), cols, to - window - t * tile, to - t * tile, state + (<usize>r << 4),
            scales + (<usize>(first + r) << 2), keyScales, shift + <usize>(t * tile * 4), weights + <usize>(r * tile * 2));
        }
        byteTile(weights, tile * 2, keyScales + 256, row, cols >> 1, n4, wide, mixed, row);
        for (let r = 0; r < n; r++) gather(true, kept + <usize>r * row, mixed + <usize>r * row, row, state + (<usize>r << 4));
      }
      for (let r = 0; r < n; r++) {
        const norm = load<f32>(state + (<usize>r << 4), 4);
        const to = out + <usize>(start + first + r) * outStride;
        for (let i: usize = 0; i < <usize>width << 2; i += 4) {
          const value = load<f32>(kept + <usize>r * row + i) * (load<f32>(valueScales + i) / most);
          store<f32>(to + i, norm > 0 ? value / norm + load<f32>(valueMeans + i) : 0);
        }
      }
    }
  }
}
