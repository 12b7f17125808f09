/** Vectors of four: their sum, their largest, and their exponentials, the same in every kernel. */

/** A constant that a loop needs in a register: engines make those they know anew at every use, in three instructions. */
// @ts-ignore: decorator
@inline
export function held(constant: v128, scratch: usize): v128 {
  v128.store(scratch, constant);
  return v128.load(scratch);
}

/** Bytes of a table by indices below 16, and zeros by those from 128 on; relaxed swizzles leave open what others give. */
// @ts-ignore: decorator
@inline
export function swizzled(table: v128, indices: v128): v128 { return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(table, indices) : i8x16.swizzle(table, indices); }

/** Σ over lanes as (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
export function total(v: v128): f32 {
  const half = f32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(half, 0) + f32x4.extract_lane(half, 1);
}

/** Σ over lanes of integers. */
// @ts-ignore: decorator
@inline
export function whole(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

/** The largest lane. */
// @ts-ignore: decorator
@inline
export function highest(v: v128): f32 {
  return max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
}

/** The same in every lane. */
// @ts-ignore: decorator
@inline
export function highest4(high: v128): v128 {
  high = f32x4.pmax(high, v128.shuffle<i32>(high, high, 2, 3, 0, 1));
  return f32x4.pmax(high, v128.shuffle<i32>(high, high, 1, 0, 3, 2));
}

/** e^x for x in [−87, 0] and a little above: 2^n · p(r) with a polynomial of degree six; below −87 it is 0. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  // Beside 1.5 · 2^23 a float has no room for fractions, and its low bits are the integer.
  const rounded = f32x4.add(f32x4.mul(x, f32x4.splat(1.4426950408889634)), f32x4.splat(12582912));
  const n = f32x4.sub(rounded, f32x4.splat(12582912));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-0.00021219444)));
  let p = f32x4.splat(0.00019875691);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.0013981999));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.008333452));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.041665795));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.16666666));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  p = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1));
  const power = i32x4.shl(i32x4.add(rounded, i32x4.splat(127)), 23);
  return v128.and(f32x4.mul(p, power), f32x4.ge(x, f32x4.splat(-87)));
}

/** x / (1 + e^−x), with 1 / (1 + e^−|x|) mirrored for negative x, so that the exponential never grows. */
// @ts-ignore: decorator
@inline
export function silu4(x: v128): v128 {
  const one = f32x4.splat(1);
  const e = exp4(f32x4.neg(f32x4.abs(x)));
  return f32x4.mul(x, f32x4.div(v128.bitselect(e, one, f32x4.lt(x, f32x4.splat(0))), f32x4.add(one, e)));
}
