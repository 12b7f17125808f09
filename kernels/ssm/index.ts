/**
 * A token's way through the state of a Mamba mixer (arXiv:2312.00752, and Mamba-2, arXiv:2405.21060): the causal convolution of
 * each channel, and the recurrence. One order for every output, one rounding per multiplication and addition: the plain twins in
 * src/engine/kernels/ssm.ts give the same bits.
 */
import { exp4, silu4, total } from '../lowbit/vector';

/**
 * out = silu(bias + Σ weights[k] · tokens[k]) for channels, a multiple of four: the kernel − 1 tokens before, oldest first,
 * lie in `history` [kernel − 1][channels], the new one in x, which takes the place of the newest. Weights [kernel][channels].
 */
export function convolveToken(x: usize, history: usize, weights: usize, bias: usize, channels: i32, kernel: i32, out: usize): void {
  const row = <usize>channels << 2;
  for (let c: usize = 0; c < row; c += 16) {
    let sum = bias == 0 ? f32x4.splat(0) : v128.load(bias + c);
    for (let k = 0; k < kernel - 1; k++) sum = f32x4.add(sum, f32x4.mul(v128.load(weights + <usize>k * row + c), v128.load(history + <usize>k * row + c)));
    sum = f32x4.add(sum, f32x4.mul(v128.load(weights + <usize>(kernel - 1) * row + c), v128.load(x + c)));
    v128.store(out + c, silu4(sum));
  }
  if (kernel < 2) return;
  memory.copy(history, history + row, row * <usize>(kernel - 2));
  memory.copy(history + row * <usize>(kernel - 2), x, row);
}

/**
 * state = decay · state + (step · x) · B and y = state · C + direct · x, of a token: x and y [heads][width], state
 * [heads][width][size], B and C [groups][size] with size a multiple of four, a step, a decay and a direct path per head.
 */
export function scanToken(state: usize, x: usize, steps: usize, decays: usize, direct: usize, B: usize, C: usize, heads: i32, groups: i32, width: i32, size: i32, y: usize): void {
  const row = <usize>size << 2;
  const shared = heads / groups;
  for (let h = 0; h < heads; h++) {
    const b = B + <usize>(h / shared) * row;
    const c = C + <usize>(h / shared) * row;
    const decay = v128.load32_splat(decays + (<usize>h << 2));
    const step = load<f32>(steps + (<usize>h << 2));
    const past = load<f32>(direct + (<usize>h << 2));
    for (let p = 0; p < width; p++) {
      const value = load<f32>(x);
      const given = f32x4.splat(step * value);
      let sum = f32x4.splat(0);
      for (let n: usize = 0; n < row; n += 16) {
        const next = f32x4.add(f32x4.mul(v128.load(state + n), decay), f32x4.mul(given, v128.load(b + n)));
        v128.store(state + n, next);
        sum = f32x4.add(sum, f32x4.mul(next, v128.load(c + n)));
      }
      store<f32>(y, total(sum) + past * value);
      state += row;
      x += 4;
      y += 4;
    }
  }
}

/**
 * The same of Mamba-1, where every value of the state decays at its own pace: state = e^(step · rate) · state + (step · x) · B and
 * y = state · C + direct · x; x, y, steps and direct paths [channels], state and rates (below 0) [channels][size], B and C [size].
 */
export function scanChannels(state: usize, x: usize, steps: usize, rates: usize, direct: usize, B: usize, C: usize, channels: i32, size: i32, y: usize): void {
  const row = <usize>size << 2;
  const end = x + (<usize>channels << 2);
  for (; x < end; x += 4, steps += 4, direct += 4, y += 4, state += row, rates += row) {
    const value = load<f32>(x);
    const step = load<f32>(steps);
    const wide = f32x4.splat(step), given = f32x4.splat(step * value);
    let sum = f32x4.splat(0);
    for (let n: usize = 0; n < row; n += 16) {
      const decay = exp4(f32x4.mul(wide, v128.load(rates + n)));
      const next = f32x4.add(f32x4.mul(v128.load(state + n), decay), f32x4.mul(given, v128.load(B + n)));
      v128.store(state + n, next);
      sum = f32x4.add(sum, f32x4.mul(next, v128.load(C + n)));
    }
    store<f32>(y, total(sum) + load<f32>(direct) * value);
  }
}
