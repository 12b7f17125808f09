/**
 * What becomes of the sums of eight outputs. `sides` hold for every eight outputs: 8 biases (i32, or f32 of float
 * products), 8 factors and 8 addends (f32), 96 bytes.
 */

// @ts-ignore: decorator
@inline
export const sidesBytes: usize = 96;
/** Integers as f32 times their factors, to nearest, halves to even. */
// @ts-ignore: decorator
@inline
function rounded(sums: v128, factors: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(f32x4.convert_i32x4_s(sums), factors)));
}

/** Eight sums as codes in the low half: rounded, moved to the zero point, within [low, high]. */
// @ts-ignore: decorator
@inline
export function codes(first: v128, second: v128, sides: usize, zero: v128, low: v128, high: v128): v128 {
  const words = i16x8.add_sat_s(i16x8.narrow_i32x4_s(rounded(first, v128.load(sides, 32)), rounded(second, v128.load(sides, 48))), zero);
  return i8x16.min_u(i8x16.max_u(i8x16.narrow_i16x8_u(words, words), low), high);
}

/** Eight sums as floats: sum · factor + addend. */
// @ts-ignore: decorator
@inline
export function real(sums: v128, sides: usize): v128 {
  return f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sums), v128.load(sides, 32)), v128.load(sides, 64));
}

/** The first `count` of eight codes. Nothing is written behind them, where another thread may be writing. */
// @ts-ignore: decorator
@inline
export function storeCodes(to: usize, eight: v128, count: i32): void {
  if (count == 8) {
    v128.store64_lane(to, eight, 0);
    return;
  }
  let left = i64x2.extract_lane(eight, 0);
  for (let i: usize = 0; i < <usize>count; i++, left >>= 8) store<u8>(to + i, <u8>left);
}

/** The first `count` of eight floats, in the same way. */
// @ts-ignore: decorator
@inline
export function storeFloats(to: usize, first: v128, second: v128, count: i32): void {
  if (count == 8) {
    v128.store(to, first);
    v128.store(to, second, 16);
    return;
  }
  let left = first;
  for (let i = 0; i < count; i++, to += 4) {
    if (i == 4) left = second;
    v128.store32_lane(to, left, 0);
    left = v128.shuffle<i32>(left, left, 1, 2, 3, 0);
  }
}
