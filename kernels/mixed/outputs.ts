/** Sums of four rows, and what goes to their outputs. */

/** [a0…a3], … → [Σa, Σb, Σc, Σd] */
// @ts-ignore: decorator
@inline
export function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** Sums less what nibbles have too much, times both scales. */
// @ts-ignore: decorator
@inline
export function scaled(dots: v128, lift: usize, weight: v128, input: usize): v128 {
  return f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(dots, v128.load32_splat(lift))), weight), v128.load32_splat(input));
}

/** What a branch of low rank adds to four rows. */
// @ts-ignore: decorator
@inline
export function beside(up: usize, down: usize, rank: i32): v128 {
  let sum = f32x4.splat(0);
  for (let r = 0; r < rank; r++) sum = f32x4.add(sum, f32x4.mul(v128.load(up + (<usize>r << 4)), v128.load32_splat(down + (<usize>r << 2))));
  return sum;
}
