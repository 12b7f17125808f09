/**
 * Products of codes of two, three or four bits in blocks of eight groups, unpacked to 16 bits before they are multiplied,
 * the latter by a table of 16 values of 8 bits, or of up to 12 where it is wide: 16 low bytes, then 16 high ones. One token
 * or two take them as they lie (few.ts, table.ts). Scales stay as small as they are in files.
 *
 * A group of codes: two bits 64 bytes, for 16 columns at a time and each row four bytes with columns 0 2 8 10, 4 6 12 14 and
 * those behind each of these, from the lowest bits up; three bits 32 bytes more with the third bits in that order, of the first
 * 16 columns below those of the others; four bits as in four.ts.
 */
import { fewThree, fewThreeNarrow, fewTwo, fewTwoNarrow } from './few';
import { inputBytes } from './inputs';
import { productTable } from './table';
import { blockGroups, everyToken, nowhere } from './tile';
import { held, swizzled } from './vector';

/** Where scales and minima of a block are worked out, behind its codes. */
const scalesAt: usize = 4096;
const minsAt: usize = 4608;

// @ts-ignore: decorator
@inline
function unpack2(at: usize, to: usize, third: bool, less: v128): void {
  const two = held(i16x8.splat(3), to), one = held(i16x8.splat(1), to);
  let hu = third ? v128.load(at, 64) : less, hv = third ? v128.load(at, 80) : less;
  const end = to + 512;
  for (; to < end; at += 32, to += 256) {
    // Bits of even and of odd bytes, which are four columns before the others.
    for (let shift = 0; shift < 16; shift += 8) {
      let u = i16x8.shr_u(v128.load(at), shift), v = i16x8.shr_u(v128.load(at, 16), shift);
      let gu = i16x8.shr_u(hu, shift), gv = i16x8.shr_u(hv, shift);
      let place = to + (<usize>shift << 3);
      const stop = place + 256;
      while (place < stop) {
        let a = v128.and(u, two), b = v128.and(v, two);
        if (third) {
          a = v128.or(a, i16x8.shl(v128.and(gu, one), 2));
          b = v128.or(b, i16x8.shl(v128.and(gv, one), 2));
          gu = i16x8.shr_u(gu, 1);
          gv = i16x8.shr_u(gv, 1);
        }
        v128.store(place, i16x8.sub(a, less));
        v128.store(place, i16x8.sub(b, less), 16);
        u = i16x8.shr_u(u, 2);
        v = i16x8.shr_u(v, 2);
        // Columns 0, 2, 8, 10 of 16 follow each other.
        place += (place & 32) === 0 ? 32 : 96;
      }
    }
    hu = i16x8.shr_u(hu, 4);
    hv = i16x8.shr_u(hv, 4);
  }
}

/** A byte of the table for each 16 bits. */
// @ts-ignore: decorator
@inline
function looked(table: v128, codes: v128): v128 { return i16x8.shr_s(i16x8.shl(swizzled(table, codes), 8), 8); }

/** A value of a wide table for each 16 bits. Bytes whose index has its highest bit find nothing. */
// @ts-ignore: decorator
@inline
function lookedWide(low: v128, high: v128, codes: v128, notHigh: v128, notLow: v128): v128 {
  return v128.or(swizzled(low, v128.or(codes, notHigh)), swizzled(high, v128.or(i16x8.shl(codes, 8), notLow)));
}

// @ts-ignore: decorator
@inline
function unpackWide(at: usize, to: usize, left: v128, right: v128): void {
  const low = held(i16x8.splat(15), to), notHigh = held(i16x8.splat(<i16>0x8000), to), notLow = held(i16x8.splat(0x0080), to);
  const end = at + 128;
  for (; at < end; at += 32) {
    let u = v128.load(at), v = v128.load(at, 16);
    const stop = to + 128;
    for (; to < stop; to += 32) {
      v128.store(to, lookedWide(left, right, v128.and(u, low), notHigh, notLow));
      v128.store(to, lookedWide(left, right, v128.and(v, low), notHigh, notLow), 16);
      u = i16x8.shr_u(u, 4);
      v = i16x8.shr_u(v, 4);
    }
  }
}

// @ts-ignore: decorator
@inline
function unpackTable(at: usize, to: usize, table: v128): void {
  const low = held(i16x8.splat(15), to);
  const end = at + 128;
  for (; at < end; at += 32) {
    let u = v128.load(at), v = v128.load(at, 16);
    const stop = to + 128;
    for (; to < stop; to += 32) {
      v128.store(to, looked(table, v128.and(u, low)));
      v128.store(to, looked(table, v128.and(v, low)), 16);
      u = i16x8.shr_u(u, 4);
      v = i16x8.shr_u(v, 4);
    }
  }
}

/** Bytes [count][8 rows] times a float for each row. */
// @ts-ignore: decorator
@inline
function unpackScales(at: usize, by: usize, count: i32, to: usize): void {
  const left = v128.load(by), right = v128.load(by, 16);
  for (let i = 0; i < count; i++, at += 8, to += 32) {
    const codes = v128.load8x8_s(at);
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)), left));
    v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)), right), 16);
  }
}

/** Tokens times groups of two or three bits, of panel `p`; outputs begin at 0 where these groups are the first of a row. */
function oneByOne(begin: bool, third: bool, narrow: bool, less: i32, at: usize, count: i32, s: usize, m: usize, inputs: usize, row: usize, tokens: i32, out: usize, stride: i32, p: i32, minima: bool, halves: bool, scratch: usize): void {
  let left = out + (<usize>p << 5);
  for (let t = 0; t < tokens; t++, left += <usize>stride << 2, inputs += row) {
    const right = p * 8 + 4 < stride ? left + 16 : scratch + nowhere;
    if (begin) {
      v128.store(left, f32x4.splat(0));
      v128.store(right, f32x4.splat(0));
    }
    if (ASC_FEATURE_RELAXED_SIMD && narrow) {
      if (third) fewThreeNarrow(less, at, count, s, m, inputs, left, right, minima, halves, scratch);
      else fewTwoNarrow(less, at, count, s, m, inputs, left, right, minima, halves, scratch);
    } else if (third) fewThree(less, at, count, s, m, inputs, left, right, minima, halves, scratch);
    else fewTwo(less, at, count, s, m, inputs, left, right, minima, halves, scratch);
  }
}

/**
 * `table` is an address, or 0. Where `fine`, the sides of a block are a float for each row, with minima another, then bytes
 * for groups or their halves that these are multiplied with, then those of minima; else floats as for four and eight bits.
 */
export function productPacked(bits: i32, less: i32, table: usize, wide: bool, fine: bool, minima: bool, halves: bool, w: usize, sides: usize, groups: i32, x: usize, narrow: bool, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize): void {
  // From the third token on unpacking once is cheaper.
  const direct = tokens < 3;
  if (direct && bits === 4 && !(fine && halves)) {
    productTable(table, wide, fine, halves, w, sides, groups, x, narrow, tokens, out, stride, first, last, scratch);
    return;
  }
  const row = <usize>groups * inputBytes;
  const parts = halves ? 2 : 1;
  const codeBytes = <usize>bits << 5;
  const fineBytes: usize = (32 + 64 * parts) << (minima ? 1 : 0);
  for (let p = first; p < last; p++) {
    for (let g = 0; g < groups; g += blockGroups) {
      const at = <usize>p * <usize>groups + <usize>g;
      const count = min(blockGroups, groups - g);
      const stop = scratch + (<usize>count << 9);
      for (let from = w + at * codeBytes, to = scratch; to < stop && !(direct && bits < 4); from += codeBytes, to += 512) {
        if (bits === 2) unpack2(from, to, false, i16x8.splat(<i16>less));
        else if (bits === 3) unpack2(from, to, true, i16x8.splat(<i16>less));
        else if (wide) unpackWide(from, to, v128.load(table), v128.load(table, 16));
        else unpackTable(from, to, v128.load(table));
      }
      let s = sides + at * 32 * parts, m = s;
      if (fine) {
        const block = sides + (at >> 3) * fineBytes;
        const codes = block + (minima ? 64 : 32);
        s = scratch + scalesAt;
        unpackScales(codes, block, 8 * parts, s);
        if (minima) {
          m = scratch + minsAt;
          unpackScales(codes + 64 * parts, block + 32, 8 * parts, m);
        }
      }
      if (direct && bits < 4) oneByOne(g === 0, bits === 3, narrow, less, w + at * codeBytes, count, s, m, x + <usize>g * inputBytes, row, tokens, out, stride, p, minima, halves, scratch);
      else everyToken(g === 0, scratch, stop, s, m, x + <usize>g * inputBytes, row, tokens, out, stride, p, minima, halves);
    }
  }
}
