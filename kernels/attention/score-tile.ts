/**
 * Products of queries and keys as bytes, by relaxed dot products. Keys are the operand that must have 7 bits: codes of 4
 * bits with 8 added, [depth / 4][64][4]; codes of 8 bits with 128 added as their lower and then their higher nibbles, each
 * like that. Queries are signed bytes, and behind each row stands what is too much, negated.
 */

// @ts-ignore: decorator
@inline
function plus(sum: v128, keys: v128, query: v128): v128 { return ASC_FEATURE_RELAXED_SIMD ? i32x4.relaxed_dot_i8x16_i7x16_add_s(query, keys, sum) : sum; }

/** out[rows][cols] in integers; `rows` a multiple of 4, `cols` of 8; `words` of four codes each; strides in bytes. */
// @ts-ignore: decorator
@inline
function product(eight: bool, a: usize, aStride: usize, b: usize, bStride: usize, words: i32, rows: i32, cols: i32, out: usize, outStride: usize): void {
  const depth = <usize>words << 2;
  const plane = <usize>words * bStride;
  for (let r = 0; r < rows; r += 4) {
    const row = a + <usize>r * aStride;
    const end = row + depth;
    const less0 = v128.load32_splat(end), less1 = v128.load32_splat(end + aStride), less2 = v128.load32_splat(end + 2 * aStride), less3 = v128.load32_splat(end + 3 * aStride);
    const to = out + <usize>r * outStride;
    for (let c: usize = 0; c < <usize>cols << 2; c += 32) {
      let a0 = i32x4.splat(0), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
      // The higher nibbles first.
      for (let from = b + c + (eight ? plane : 0); ; from = b + c) {
        const low = from === b + c;
        for (let at = row; at < end; at += 4, from += bStride) {
          const x0 = v128.load(from), x1 = v128.load(from, 16);
          let y = v128.load32_splat(at);
          a0 = plus(a0, x0, y);
          a1 = plus(a1, x1, y);
          y = v128.load32_splat(at + aStride);
          b0 = plus(b0, x0, y);
          b1 = plus(b1, x1, y);
          y = v128.load32_splat(at + 2 * aStride);
          c0 = plus(c0, x0, y);
          c1 = plus(c1, x1, y);
          y = v128.load32_splat(at + 3 * aStride);
          d0 = plus(d0, x0, y);
          d1 = plus(d1, x1, y);
        }
        if (low) break;
        a0 = i32x4.shl(a0, 4); a1 = i32x4.shl(a1, 4);
        b0 = i32x4.shl(b0, 4); b1 = i32x4.shl(b1, 4);
        c0 = i32x4.shl(c0, 4); c1 = i32x4.shl(c1, 4);
        d0 = i32x4.shl(d0, 4); d1 = i32x4.shl(d1, 4);
      }
      keep(to + c, a0, a1, less0);
      keep(to + outStride + c, b0, b1, less1);
      keep(to + 2 * outStride + c, c0, c1, less2);
      keep(to + 3 * outStride + c, d0, d1, less3);
    }
  }
}

// @ts-ignore: decorator
@inline
function keep(to: usize, left: v128, right: v128, less: v128): void {
  v128.store(to, i32x4.add(left, less));
  v128.store(to, i32x4.add(right, less), 16);
}

/** The same for each case by itself. */
export function scoreTile(eight: bool, a: usize, aStride: usize, b: usize, bStride: usize, words: i32, rows: i32, cols: i32, out: usize, outStride: usize): void {
  if (eight) product(true, a, aStride, b, bStride, words, rows, cols, out, outStride);
  else product(false, a, aStride, b, bStride, words, rows, cols, out, outStride);
}
