/** Products of small matrices, four rows and eight columns at a time, each output summed over the depth in ascending order. */

/**
 * out[rows][cols] = a[rows][depth] · b[depth][cols]; `rows` a multiple of 4, `cols` of 8. Strides in bytes. With `pairs`,
 * every float of a and b stands for two codes of 16 bits that lie side by side in the depth, and outputs are integers.
 */
// @ts-ignore: decorator
@inline
function product(pairs: bool, a: usize, aStride: usize, b: usize, bStride: usize, depth: i32, rows: i32, cols: i32, out: usize, outStride: usize): void {
  for (let r = 0; r < rows; r += 4) {
    const row0 = a + <usize>r * aStride;
    const to = out + <usize>r * outStride;
    for (let c: usize = 0; c < <usize>cols << 2; c += 32) {
      let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
      let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
      let at = row0;
      let from = b + c;
      const end = row0 + (<usize>depth << 2);
      while (at < end) {
        const x0 = v128.load(from), x1 = v128.load(from, 16);
        let y = v128.load32_splat(at);
        a0 = step(pairs, a0, x0, y);
        a1 = step(pairs, a1, x1, y);
        y = v128.load32_splat(at + aStride);
        b0 = step(pairs, b0, x0, y);
        b1 = step(pairs, b1, x1, y);
        y = v128.load32_splat(at + 2 * aStride);
        c0 = step(pairs, c0, x0, y);
        c1 = step(pairs, c1, x1, y);
        y = v128.load32_splat(at + 3 * aStride);
        d0 = step(pairs, d0, x0, y);
        d1 = step(pairs, d1, x1, y);
        at += 4;
        from += bStride;
      }
      v128.store(to + c, a0);
      v128.store(to + c, a1, 16);
      v128.store(to + outStride + c, b0);
      v128.store(to + outStride + c, b1, 16);
      v128.store(to + 2 * outStride + c, c0);
      v128.store(to + 2 * outStride + c, c1, 16);
      v128.store(to + 3 * outStride + c, d0);
      v128.store(to + 3 * outStride + c, d1, 16);
    }
  }
}

// @ts-ignore: decorator
@inline
function step(pairs: bool, sum: v128, x: v128, y: v128): v128 {
  return pairs ? i32x4.add(sum, i32x4.dot_i16x8_s(x, y)) : f32x4.add(sum, f32x4.mul(x, y));
}

export function floatTile(a: usize, aStride: usize, b: usize, bStride: usize, depth: i32, rows: i32, cols: i32, out: usize, outStride: usize): void {
  product(false, a, aStride, b, bStride, depth, rows, cols, out, outStride);
}

/** Codes of up to 13 bits in 16. */
export function byteTile(a: usize, aStride: usize, b: usize, bStride: usize, pairs: i32, rows: i32, cols: i32, out: usize, outStride: usize): void {
  product(true, a, aStride, b, bStride, pairs, rows, cols, out, outStride);
}

/** Words of 32 bits, four codes each, whose sums leave room in twelve bits: 32 codes of at most 7. */
const together: i32 = 8;

/**
 * The same for codes of 4 bits, two in 16: with w + 4096·w′ in b and x′ + 4096·x in a, a product holds w·x + w′·x′ from bit
 * 12 on. What lies below stays under 2048 in size and is lifted above zero, so that nothing is borrowed; what lies above is
 * shifted out.
 */
export function nibbleTile(a: usize, aStride: usize, b: usize, bStride: usize, words: i32, rows: i32, cols: i32, out: usize, outStride: usize): void {
  for (let r = 0; r < rows; r += 4) {
    for (let c: usize = 0; c < <usize>cols << 2; c += 32) {
      const to = out + <usize>r * outStride + c;
      for (let first = 0; first < words; first += together) {
        let a0 = i32x4.splat(2048), a1 = i32x4.splat(2048), b0 = i32x4.splat(2048), b1 = i32x4.splat(2048);
        let c0 = i32x4.splat(2048), c1 = i32x4.splat(2048), d0 = i32x4.splat(2048), d1 = i32x4.splat(2048);
        let at = a + <usize>r * aStride + (<usize>first << 2);
        let from = b + <usize>first * bStride + c;
        const end = at + (<usize>min(together, words - first) << 2);
        while (at < end) {
          const x0 = v128.load(from), x1 = v128.load(from, 16);
          let y = v128.load32_splat(at);
          a0 = step(true, a0, x0, y);
          a1 = step(true, a1, x1, y);
          y = v128.load32_splat(at + aStride);
          b0 = step(true, b0, x0, y);
          b1 = step(true, b1, x1, y);
          y = v128.load32_splat(at + 2 * aStride);
          c0 = step(true, c0, x0, y);
          c1 = step(true, c1, x1, y);
          y = v128.load32_splat(at + 3 * aStride);
          d0 = step(true, d0, x0, y);
          d1 = step(true, d1, x1, y);
          at += 4;
          from += bStride;
        }
        const more = first > 0;
        keep(more, to, a0, a1);
        keep(more, to + outStride, b0, b1);
        keep(more, to + 2 * outStride, c0, c1);
        keep(more, to + 3 * outStride, d0, d1);
      }
    }
  }
}

/** Bits 12 to 23 of both, added to what is there. */
// @ts-ignore: decorator
@inline
function keep(more: bool, to: usize, left: v128, right: v128): void {
  left = i32x4.shr_s(i32x4.shl(left, 8), 20);
  right = i32x4.shr_s(i32x4.shl(right, 8), 20);
  v128.store(to, more ? i32x4.add(v128.load(to), left) : left);
  v128.store(to, more ? i32x4.add(v128.load(to, 16), right) : right, 16);
}
