/** Small operations on four float lanes, and transposition between rows and lanes. */

/** Nearest integer, ties to even, limited to [low, high]; NaN gives low. */
// @ts-ignore: decorator
@inline
export function round4(v: v128, low: v128, high: v128): v128 {
  return f32x4.nearest(f32x4.pmin(high, f32x4.pmax(low, v)));
}

/** The same for one value. */
// @ts-ignore: decorator
@inline
export function round1(v: f32, low: f32, high: f32): f32 {
  const t: f32 = v > low ? v : low;
  return nearest<f32>(t < high ? t : high);
}

/** Four rows of n values (n a multiple of 4), `stride` bytes apart, as n vectors with one row per lane, `pitch` bytes apart. */
export function transpose(rows: usize, stride: usize, n: i32, to: usize, pitch: usize): void {
  for (let i = 0; i < n; i += 4) {
    const p = rows + (<usize>i << 2);
    const a = v128.load(p);
    const b = v128.load(p + stride);
    const c = v128.load(p + 2 * stride);
    const d = v128.load(p + 3 * stride);
    const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5);
    const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
    const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5);
    const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
    const q = to + <usize>i * pitch;
    v128.store(q, i64x2.shuffle(ab0, cd0, 0, 2));
    v128.store(q + pitch, i64x2.shuffle(ab0, cd0, 1, 3));
    v128.store(q + 2 * pitch, i64x2.shuffle(ab1, cd1, 0, 2));
    v128.store(q + 3 * pitch, i64x2.shuffle(ab1, cd1, 1, 3));
  }
}

/** Sixteen small whole floats (four vectors) as bytes. */
// @ts-ignore: decorator
@inline
export function bytes16(a: v128, b: v128, c: v128, d: v128): v128 {
  // Adding 1.5 · 2^23 leaves the integer in the low bits of the pattern.
  const magic = f32x4.splat(12582912);
  const bits = i32x4.splat(0x4b400000);
  return i8x16.narrow_i16x8_u(
    i16x8.narrow_i32x4_s(i32x4.sub(f32x4.add(a, magic), bits), i32x4.sub(f32x4.add(b, magic), bits)),
    i16x8.narrow_i32x4_s(i32x4.sub(f32x4.add(c, magic), bits), i32x4.sub(f32x4.add(d, magic), bits)),
  );
}

/** Whether any lane of a comparison holds. */
// @ts-ignore: decorator
@inline
export function any(mask: v128): bool {
  return v128.any_true(mask);
}
