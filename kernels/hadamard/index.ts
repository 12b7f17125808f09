/**
 * Hadamard matrices of powers of two, from 4 on, times runs of float32, in float64 and rounded once: the sums and
 * differences of src/numeric/hadamard.ts, which gives the same bits, two halvings at a time.
 */

/** `count` runs of `order` values in place; `scratch` holds a run in float64. */
export function transform(x: usize, count: i32, order: i32, scale: f64, scratch: usize): void {
  const bytes = <usize>order << 3;
  const by = f64x2.splat(scale);
  for (let run = 0; run < count; run++) {
    let from = x;
    for (let to = scratch; to < scratch + bytes; to += 32) {
      const four = v128.load(from);
      const v = f64x2.promote_low_f32x4(four), w = f64x2.promote_low_f32x4(v128.shuffle<i32>(four, four, 2, 3, 0, 1));
      const left = v128.shuffle<i64>(v, w, 0, 2), right = v128.shuffle<i64>(v, w, 1, 3);
      const sum = f64x2.add(left, right), rest = f64x2.sub(left, right);
      const a = v128.shuffle<i64>(sum, rest, 0, 2), b = v128.shuffle<i64>(sum, rest, 1, 3);
      v128.store(to, f64x2.add(a, b));
      v128.store(to, f64x2.sub(a, b), 16);
      from += 16;
    }
    let half: usize = 32;
    for (; half << 1 < bytes; half <<= 2) {
      for (let start = scratch; start < scratch + bytes; start += half << 2) {
        for (let at = start; at < start + half; at += 16) {
          const a = v128.load(at), b = v128.load(at + half), c = v128.load(at + (half << 1)), d = v128.load(at + 3 * half);
          const ab = f64x2.add(a, b), cd = f64x2.add(c, d), less = f64x2.sub(a, b), other = f64x2.sub(c, d);
          v128.store(at, f64x2.add(ab, cd));
          v128.store(at + half, f64x2.add(less, other));
          v128.store(at + (half << 1), f64x2.sub(ab, cd));
          v128.store(at + 3 * half, f64x2.sub(less, other));
        }
      }
    }
    if (half < bytes) {
      for (let at = scratch; at < scratch + half; at += 16) {
        const a = v128.load(at), b = v128.load(at + half);
        v128.store(at, f64x2.add(a, b));
        v128.store(at + half, f64x2.sub(a, b));
      }
    }
    for (let at = scratch; at < scratch + bytes; at += 32) {
      const low = f32x4.demote_f64x2_zero(f64x2.mul(v128.load(at), by)), high = f32x4.demote_f64x2_zero(f64x2.mul(v128.load(at, 16), by));
      v128.store(x, v128.shuffle<i64>(low, high, 0, 2));
      x += 16;
    }
  }
}
