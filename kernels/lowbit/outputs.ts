/** What a group adds to the outputs of four rows, and where outputs go. */
import { sides } from './inputs';

/** Σ · scale, less the minimum times the sum of the inputs where there is one, all times the scale of the inputs. */
// @ts-ignore: decorator
@inline
export function added(to: v128, sum: v128, scales: v128, mins: usize, minima: bool, inputs: usize): v128 {
  return f32x4.add(to, scaled(lessened(f32x4.mul(f32x4.convert_i32x4_s(sum), scales), mins, minima, inputs), inputs));
}

/** The same of a group whose halves have scales, and minima, of their own. */
// @ts-ignore: decorator
@inline
export function addedHalves(to: v128, left: v128, right: v128, scales: usize, mins: usize, minima: bool, inputs: usize): v128 {
  let first = f32x4.mul(f32x4.convert_i32x4_s(left), v128.load(scales)), second = f32x4.mul(f32x4.convert_i32x4_s(right), v128.load(scales, 32));
  if (minima) {
    const total = v128.load32_splat(inputs, sides + 12);
    first = f32x4.sub(first, f32x4.mul(total, v128.load(mins)));
    second = f32x4.sub(second, f32x4.mul(f32x4.sub(v128.load32_splat(inputs, sides + 4), total), v128.load(mins, 32)));
  }
  return f32x4.add(to, scaled(f32x4.add(first, second), inputs));
}

// @ts-ignore: decorator
@inline
function lessened(value: v128, mins: usize, minima: bool, inputs: usize): v128 {
  return minima ? f32x4.sub(value, f32x4.mul(v128.load32_splat(inputs, sides + 4), v128.load(mins))) : value;
}

// @ts-ignore: decorator
@inline
function scaled(value: v128, inputs: usize): v128 { return f32x4.mul(value, v128.load32_splat(inputs, sides)); }

/** Eight outputs, of which those from `stride` on belong to others. */
// @ts-ignore: decorator
@inline
export function storeRows(out: usize, stride: i32, token: i32, panel: i32, left: v128, right: v128): void {
  const at = out + (<usize>(token * stride + panel * 8) << 2);
  v128.store(at, left);
  if (panel * 8 + 4 < stride) v128.store(at, right, 16);
}
