/** Half precision and bfloat16: scalars for scales, vectors for inputs. */

/** The half-precision pattern nearest to x; ties to even, overflow to infinity. */
export function toHalf(x: f32): u32 {
  const u = reinterpret<u32>(x);
  const sign = (u >> 16) & 0x8000;
  const magnitude = u & 0x7fffffff;
  if (magnitude >= 0x47800000) return magnitude > 0x7f800000 ? sign | 0x7e00 : sign | 0x7c00;
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13);
  if (magnitude <= 0x33000000) return sign;
  const shift = 126 - (magnitude >> 23);
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = <u32>1 << (shift - 1);
  return sign | (kept + (rest > half || (rest == half && (kept & 1) == 1) ? 1 : 0));
}

/** The value of a finite half-precision pattern: its bits as a float32 of too small an exponent, times 2^112. */
// @ts-ignore: decorator
@inline
export function fromHalf(h: u32): f32 {
  const magnitude = reinterpret<f32>((h & 0x7fff) << 13) * reinterpret<f32>(0x77800000);
  return reinterpret<f32>(reinterpret<u32>(magnitude) | ((h & 0x8000) << 16));
}

/** Converts n (a multiple of 8) half-precision values; returns 1 when one of them is not finite. */
export function f16(from: usize, n: i32, to: usize): i32 {
  let top = i16x8.splat(0);
  const scale = i32x4.splat(0x77800000);
  for (let i = 0; i < n; i += 8) {
    const h = v128.load(from + (<usize>i << 1));
    const magnitude = v128.and(h, i16x8.splat(0x7fff));
    const sign = v128.xor(h, magnitude);
    top = i16x8.max_s(top, magnitude);
    const q = to + (<usize>i << 2);
    v128.store(q, v128.or(
      f32x4.mul(i32x4.shl(i32x4.extend_low_i16x8_u(magnitude), 13), scale), i32x4.shl(i32x4.extend_low_i16x8_u(sign), 16)));
    v128.store(q, v128.or(
      f32x4.mul(i32x4.shl(i32x4.extend_high_i16x8_u(magnitude), 13), scale), i32x4.shl(i32x4.extend_high_i16x8_u(sign), 16)), 16);
  }
  return i32(v128.any_true(i16x8.ge_s(top, i16x8.splat(0x7c00))));
}

/** Converts n (a multiple of 8) bfloat16 values; returns 1 when one of them is not finite. */
export function bf16(from: usize, n: i32, to: usize): i32 {
  let top = i16x8.splat(0);
  for (let i = 0; i < n; i += 8) {
    const h = v128.load(from + (<usize>i << 1));
    top = i16x8.max_s(top, v128.and(h, i16x8.splat(0x7fff)));
    const q = to + (<usize>i << 2);
    v128.store(q, i32x4.shl(i32x4.extend_low_i16x8_u(h), 16));
    v128.store(q, i32x4.shl(i32x4.extend_high_i16x8_u(h), 16), 16);
  }
  return i32(v128.any_true(i16x8.ge_s(top, i16x8.splat(0x7f80))));
}

/** Returns 1 when one of n (a multiple of 8) float32 values is not finite. */
export function f32check(from: usize, n: i32): i32 {
  let top = i32x4.splat(0);
  const mask = i32x4.splat(0x7fffffff);
  for (let i = 0; i < n; i += 8) {
    const p = from + (<usize>i << 2);
    top = i32x4.max_s(top, i32x4.max_s(v128.and(v128.load(p), mask), v128.and(v128.load(p, 16), mask)));
  }
  return i32(v128.any_true(i32x4.ge_s(top, i32x4.splat(0x7f800000))));
}
