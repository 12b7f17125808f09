/** Products of float weights with float inputs. */
import { storeRows } from './outputs';

/** Tokens [tokens, groups · 32], columns in ascending order. */
export function productFloat(w: usize, groups: i32, x: usize, tokens: i32, out: usize, stride: i32, first: i32, last: i32): void {
  const row = <usize>groups << 7;
  for (let p = first; p < last; p++) {
    for (let t = 0; t < tokens; t++) {
      let at = w + <usize>p * (row << 3);
      let from = x + <usize>t * row;
      const end = from + row;
      let left = f32x4.splat(0), right = f32x4.splat(0);
      while (from < end) {
        const y = v128.load32_splat(from), z = v128.load32_splat(from, 4);
        left = f32x4.add(left, f32x4.mul(v128.load(at), y));
        right = f32x4.add(right, f32x4.mul(v128.load(at, 16), y));
        left = f32x4.add(left, f32x4.mul(v128.load(at, 32), z));
        right = f32x4.add(right, f32x4.mul(v128.load(at, 48), z));
        at += 64;
        from += 8;
      }
      storeRows(out, stride, t, p, left, right);
    }
  }
}
