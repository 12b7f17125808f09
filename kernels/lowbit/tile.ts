/**
 * Products with four tokens at a time: codes of a panel are unpacked to 16 bits once, eight groups of them, and all tokens
 * pass over these before the next eight.
 */
import { inputBytes, sides } from './inputs';
import { added, addedHalves } from './outputs';
import { held } from './vector';

/** Groups that are unpacked together, 512 bytes each. */
export const blockGroups: i32 = 8;
/** Where outputs of rows past the last go, behind the unpacked codes and their scales. */
export const nowhere: usize = 5120;

/** Four bits to pairs of columns, less 8 where there are no minima. */
// @ts-ignore: decorator
@inline
function unpack4(at: usize, to: usize, stop: usize, minima: bool): void {
  const low = held(i16x8.splat(15), to);
  const less = i16x8.splat(minima ? 0 : 8);
  while (to < stop) {
    const u = v128.load(at), v = v128.load(at, 16);
    v128.store(to, i16x8.sub(v128.and(u, low), less));
    v128.store(to, i16x8.sub(v128.and(v, low), less), 16);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(u, 4), low), less), 32);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(v, 4), low), less), 48);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(u, 8), low), less), 64);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(v, 8), low), less), 80);
    v128.store(to, i16x8.sub(i16x8.shr_u(u, 12), less), 96);
    v128.store(to, i16x8.sub(i16x8.shr_u(v, 12), less), 112);
    at += 32;
    to += 128;
  }
}

/** Four bits to bytes of four columns at a time, those of low nibbles before those of high ones. */
// @ts-ignore: decorator
@inline
function unpack4Bytes(at: usize, to: usize, stop: usize): void {
  const low = held(i8x16.splat(15), to);
  while (to < stop) {
    const u = v128.load(at), v = v128.load(at, 16);
    v128.store(to, v128.and(u, low));
    v128.store(to, v128.and(v, low), 16);
    v128.store(to, v128.and(i16x8.shr_u(u, 4), low), 32);
    v128.store(to, v128.and(i16x8.shr_u(v, 4), low), 48);
    at += 32;
    to += 64;
  }
}

// @ts-ignore: decorator
@inline
function unpack8(at: usize, to: usize, stop: usize): void {
  while (to < stop) {
    v128.store(to, v128.load8x8_s(at));
    v128.store(to, v128.load8x8_s(at, 8), 16);
    at += 16;
    to += 32;
  }
}

// @ts-ignore: decorator
@inline
function plus(to: v128, codes: v128, x: v128): v128 { return i32x4.add(to, i32x4.dot_i16x8_s(codes, x)); }

// @ts-ignore: decorator
@inline
function plusBytes(to: v128, codes: v128, x: v128): v128 { return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(x, codes, to) : to; }

/** Codes that are not less 8 yet. */
// @ts-ignore: decorator
@inline
function centred(sum: v128, minima: bool, inputs: usize): v128 { return minima ? sum : i32x4.add(sum, v128.load32_splat(inputs, sides + 8)); }

/** Four tokens times unpacked groups, added to their outputs. */
// @ts-ignore: decorator
@inline
function times4(codes: usize, stop: usize, s: usize, m: usize, inputs: usize, row: usize, left: usize, outRow: usize, right: usize, rightRow: usize, byBytes: bool, narrow: bool, minima: bool, halves: bool): void {
  const sideBytes: usize = halves ? 64 : 32;
  for (; codes < stop; inputs += inputBytes) {
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    if (byBytes) {
      // High bytes of the inputs first, where there are any.
      for (let plane: usize = narrow ? 64 : 96; plane >= 64; plane -= 32) {
        a0 = i32x4.shl(a0, 8); a1 = i32x4.shl(a1, 8); a2 = i32x4.shl(a2, 8); a3 = i32x4.shl(a3, 8);
        b0 = i32x4.shl(b0, 8); b1 = i32x4.shl(b1, 8); b2 = i32x4.shl(b2, 8); b3 = i32x4.shl(b3, 8);
        let from = inputs + plane;
        const end = from + 32;
        for (let at = codes; from < end; from += 4, at += 32) {
          const u = v128.load(at), v = v128.load(at, 16);
          const x0 = v128.load32_splat(from), x1 = v128.load32_splat(from + row), x2 = v128.load32_splat(from + row * 2), x3 = v128.load32_splat(from + row * 3);
          a0 = plusBytes(a0, u, x0); b0 = plusBytes(b0, v, x0);
          a1 = plusBytes(a1, u, x1); b1 = plusBytes(b1, v, x1);
          a2 = plusBytes(a2, u, x2); b2 = plusBytes(b2, v, x2);
          a3 = plusBytes(a3, u, x3); b3 = plusBytes(b3, v, x3);
        }
      }
      codes += 256;
      a0 = centred(a0, minima, inputs); b0 = centred(b0, minima, inputs);
      a1 = centred(a1, minima, inputs + row); b1 = centred(b1, minima, inputs + row);
      a2 = centred(a2, minima, inputs + row * 2); b2 = centred(b2, minima, inputs + row * 2);
      a3 = centred(a3, minima, inputs + row * 3); b3 = centred(b3, minima, inputs + row * 3);
    }
    let from = inputs;
    let end = codes + (halves ? 256 : 512);
    while (!byBytes && codes < end) {
      const u = v128.load(codes), v = v128.load(codes, 16);
      const x0 = v128.load32_splat(from), x1 = v128.load32_splat(from + row), x2 = v128.load32_splat(from + row * 2), x3 = v128.load32_splat(from + row * 3);
      a0 = plus(a0, u, x0); b0 = plus(b0, v, x0);
      a1 = plus(a1, u, x1); b1 = plus(b1, v, x1);
      a2 = plus(a2, u, x2); b2 = plus(b2, v, x2);
      a3 = plus(a3, u, x3); b3 = plus(b3, v, x3);
      from += 4;
      codes += 32;
    }
    if (halves) {
      let c0 = i32x4.splat(0), c1 = c0, c2 = c0, c3 = c0, d0 = c0, d1 = c0, d2 = c0, d3 = c0;
      end = codes + 256;
      while (codes < end) {
        const u = v128.load(codes), v = v128.load(codes, 16);
        const x0 = v128.load32_splat(from), x1 = v128.load32_splat(from + row), x2 = v128.load32_splat(from + row * 2), x3 = v128.load32_splat(from + row * 3);
        c0 = plus(c0, u, x0); d0 = plus(d0, v, x0);
        c1 = plus(c1, u, x1); d1 = plus(d1, v, x1);
        c2 = plus(c2, u, x2); d2 = plus(d2, v, x2);
        c3 = plus(c3, u, x3); d3 = plus(d3, v, x3);
        from += 4;
        codes += 32;
      }
      keepHalves(left, right, a0, b0, c0, d0, s, m, minima, inputs);
      keepHalves(left + outRow, right + rightRow, a1, b1, c1, d1, s, m, minima, inputs + row);
      keepHalves(left + outRow * 2, right + rightRow * 2, a2, b2, c2, d2, s, m, minima, inputs + row * 2);
      keepHalves(left + outRow * 3, right + rightRow * 3, a3, b3, c3, d3, s, m, minima, inputs + row * 3);
    } else {
      keep(left, right, a0, b0, s, m, minima, inputs);
      keep(left + outRow, right + rightRow, a1, b1, s, m, minima, inputs + row);
      keep(left + outRow * 2, right + rightRow * 2, a2, b2, s, m, minima, inputs + row * 2);
      keep(left + outRow * 3, right + rightRow * 3, a3, b3, s, m, minima, inputs + row * 3);
    }
    s += sideBytes;
    m += sideBytes;
  }
}

/** The same for each case by itself: in one function with all of them the compiler keeps fewer sums in registers. */
function fourTokens(codes: usize, stop: usize, s: usize, m: usize, inputs: usize, row: usize, left: usize, outRow: usize, right: usize, rightRow: usize): void {
  times4(codes, stop, s, m, inputs, row, left, outRow, right, rightRow, false, false, true, false);
}
function fourTokensCentred(codes: usize, stop: usize, s: usize, inputs: usize, row: usize, left: usize, outRow: usize, right: usize, rightRow: usize): void {
  times4(codes, stop, s, 0, inputs, row, left, outRow, right, rightRow, false, false, false, false);
}
function fourTokensHalves(codes: usize, stop: usize, s: usize, m: usize, inputs: usize, row: usize, left: usize, outRow: usize, right: usize, rightRow: usize, minima: bool): void {
  times4(codes, stop, s, m, inputs, row, left, outRow, right, rightRow, false, false, minima, true);
}
function fourTokensBytes(codes: usize, stop: usize, s: usize, m: usize, inputs: usize, row: usize, left: usize, outRow: usize, right: usize, rightRow: usize, minima: bool, narrow: bool): void {
  if (minima) times4(codes, stop, s, m, inputs, row, left, outRow, right, rightRow, true, narrow, true, false);
  else if (narrow) times4(codes, stop, s, 0, inputs, row, left, outRow, right, rightRow, true, true, false, false);
  else times4(codes, stop, s, 0, inputs, row, left, outRow, right, rightRow, true, false, false, false);
}

/** One token times unpacked groups, added to its outputs. */
function oneToken(codes: usize, stop: usize, s: usize, m: usize, inputs: usize, left: usize, right: usize, minima: bool, halves: bool): void {
  let l = v128.load(left), r = v128.load(right);
  for (; codes < stop; inputs += inputBytes) {
    let a = i32x4.splat(0), b = a, c = a, d = a;
    let from = inputs;
    const end = codes + 512;
    const middle = halves ? codes + 256 : end;
    for (; codes < middle; codes += 64, from += 8) {
      const y = v128.load32_splat(from), z = v128.load32_splat(from, 4);
      a = plus(plus(a, v128.load(codes), y), v128.load(codes, 32), z);
      b = plus(plus(b, v128.load(codes, 16), y), v128.load(codes, 48), z);
    }
    if (halves) {
      for (; codes < end; codes += 64, from += 8) {
        const y = v128.load32_splat(from), z = v128.load32_splat(from, 4);
        c = plus(plus(c, v128.load(codes), y), v128.load(codes, 32), z);
        d = plus(plus(d, v128.load(codes, 16), y), v128.load(codes, 48), z);
      }
      l = addedHalves(l, a, c, s, m, minima, inputs);
      r = addedHalves(r, b, d, s + 16, m + 16, minima, inputs);
    } else {
      l = added(l, a, v128.load(s), m, minima, inputs);
      r = added(r, b, v128.load(s, 16), m + 16, minima, inputs);
    }
    s += halves ? 64 : 32;
    m += halves ? 64 : 32;
  }
  v128.store(left, l);
  v128.store(right, r);
}

/** Every token times unpacked groups, of panel `p`; outputs begin at 0 where these groups are the first of a row. */
export function everyToken(begin: bool, scratch: usize, stop: usize, s: usize, m: usize, inputs: usize, row: usize, tokens: i32, out: usize, stride: i32, p: i32, minima: bool, halves: bool): void {
  const outRow = <usize>stride << 2;
  const there = p * 8 + 4 < stride;
  const rightRow = there ? outRow : 0;
  let left = out + (<usize>p << 5);
  for (let t = 0; t < tokens;) {
    const right = there ? left + 16 : scratch + nowhere;
    const some = tokens - t >= 4 ? 4 : 1;
    if (begin) {
      for (let i: usize = 0; i < <usize>some; i++) {
        v128.store(left + i * outRow, f32x4.splat(0));
        v128.store(right + i * rightRow, f32x4.splat(0));
      }
    }
    if (some === 1) oneToken(scratch, stop, s, m, inputs, left, right, minima, halves);
    else if (halves) fourTokensHalves(scratch, stop, s, m, inputs, row, left, outRow, right, rightRow, minima);
    else if (minima) fourTokens(scratch, stop, s, m, inputs, row, left, outRow, right, rightRow);
    else fourTokensCentred(scratch, stop, s, inputs, row, left, outRow, right, rightRow);
    t += some;
    left += <usize>some * outRow;
    inputs += <usize>some * row;
  }
}

/** Codes of four and eight bits; the first tokens, a multiple of four; what is left begins at the result. */
export function tiles(bits: i32, w: usize, scales: usize, mins: usize, groups: i32, x: usize, narrow: bool, tokens: i32, out: usize, stride: i32, first: i32, last: i32, scratch: usize, minima: bool, halves: bool): i32 {
  const whole = tokens & ~3;
  if (whole === 0) return 0;
  const row = <usize>groups * inputBytes;
  const outRow = <usize>stride << 2;
  const codeBytes: usize = <usize>bits << 5;
  const sideBytes: usize = halves ? 64 : 32;
  const byBytes = ASC_FEATURE_RELAXED_SIMD && bits === 4;
  for (let p = first; p < last; p++) {
    const there = p * 8 + 4 < stride;
    for (let g = 0; g < groups; g += blockGroups) {
      const at = <usize>p * <usize>groups + <usize>g;
      const stop = scratch + (<usize>min(blockGroups, groups - g) << (byBytes ? 8 : 9));
      if (byBytes) unpack4Bytes(w + at * codeBytes, scratch, stop);
      else if (bits === 4) unpack4(w + at * codeBytes, scratch, stop, minima);
      else unpack8(w + at * codeBytes, scratch, stop);
      for (let t = 0; t < whole; t += 4) {
        const inputs = x + <usize>t * row + <usize>g * inputBytes;
        const s = scales + at * sideBytes;
        const m = mins + at * sideBytes;
        const left = out + <usize>t * outRow + (<usize>p << 5);
        const right = there ? left + 16 : scratch + nowhere;
        const rightRow = there ? outRow : 0;
        if (g === 0) {
          for (let i: usize = 0; i < 4; i++) {
            v128.store(left + i * outRow, f32x4.splat(0));
            v128.store(right + i * rightRow, f32x4.splat(0));
          }
        }
        if (byBytes) fourTokensBytes(scratch, stop, s, m, inputs, row, left, outRow, right, rightRow, minima, narrow);
        else if (halves) fourTokensHalves(scratch, stop, s, m, inputs, row, left, outRow, right, rightRow, minima);
        else if (minima) fourTokens(scratch, stop, s, m, inputs, row, left, outRow, right, rightRow);
        else fourTokensCentred(scratch, stop, s, inputs, row, left, outRow, right, rightRow);
      }
    }
  }
  return whole;
}

// @ts-ignore: decorator
@inline
function keep(left: usize, right: usize, a: v128, b: v128, s: usize, m: usize, minima: bool, inputs: usize): void {
  v128.store(left, added(v128.load(left), a, v128.load(s), m, minima, inputs));
  v128.store(right, added(v128.load(right), b, v128.load(s, 16), m + 16, minima, inputs));
}

// @ts-ignore: decorator
@inline
function keepHalves(left: usize, right: usize, a: v128, b: v128, c: v128, d: v128, s: usize, m: usize, minima: bool, inputs: usize): void {
  v128.store(left, addedHalves(v128.load(left), a, c, s, m, minima, inputs));
  v128.store(right, addedHalves(v128.load(right), b, d, s + 16, m + 16, minima, inputs));
}
