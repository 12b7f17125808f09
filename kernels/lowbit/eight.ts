/** Products of codes of eight bits with one token at a time. */
import { inputBytes } from './inputs';
import { added, addedHalves, storeRows } from './outputs';

/** Codes of two columns for four rows, 16 bits each, times the inputs of these columns. */
// @ts-ignore: decorator
@inline
function plus(to: v128, codes: usize, x: v128): v128 { return i32x4.add(to, i32x4.dot_i16x8_s(v128.load8x8_s(codes), x)); }

// @ts-ignore: decorator
@inline
export function panels8(w: usize, scales: usize, mins: usize, groups: i32, x: usize, out: usize, stride: i32, firstToken: i32, tokens: i32, first: i32, last: i32, minima: bool, halves: bool): void {
  const row = <usize>groups * inputBytes;
  const sideBytes: usize = halves ? 64 : 32;
  for (let p = first; p < last; p++) {
    const side = <usize>p * <usize>groups * sideBytes;
    for (let t = firstToken; t < tokens; t++) {
      let at = w + (<usize>p * <usize>groups << 8);
      let s = scales + side;
      let m = mins + side;
      let inputs = x + <usize>t * row;
      const end = inputs + row;
      let left = f32x4.splat(0), right = f32x4.splat(0);
      while (inputs < end) {
        let a = i32x4.splat(0), b = a;
        let from = inputs;
        let stop = at + (halves ? 128 : 256);
        while (at < stop) {
          const y = v128.load32_splat(from), z = v128.load32_splat(from, 4);
          a = plus(plus(a, at, y), at + 16, z);
          b = plus(plus(b, at + 8, y), at + 24, z);
          from += 8;
          at += 32;
        }
        if (halves) {
          let c = i32x4.splat(0), d = c;
          stop = at + 128;
          while (at < stop) {
            const y = v128.load32_splat(from), z = v128.load32_splat(from, 4);
            c = plus(plus(c, at, y), at + 16, z);
            d = plus(plus(d, at + 8, y), at + 24, z);
            from += 8;
            at += 32;
          }
          left = addedHalves(left, a, c, s, 0, false, inputs);
          right = addedHalves(right, b, d, s + 16, 0, false, inputs);
        } else {
          left = added(left, a, v128.load(s), m, minima, inputs);
          right = added(right, b, v128.load(s, 16), m + 16, minima, inputs);
        }
        s += sideBytes;
        m += sideBytes;
        inputs += inputBytes;
      }
      storeRows(out, stride, t, p, left, right);
    }
  }
}
