/** Steps of activations that learn beside the rounding of weights: where they start, and how they stand in the graph. */
import { power24 } from '../formats/scale-search.ts';
import { rne } from '../numeric/rounding.ts';
import { smallestStep } from './composites/fake-quantize.ts';

export interface StepStart { readonly scale: number; readonly low: number; readonly high: number }

/** Values that are looked at; more would not move a range of a hundred candidates. */
const looked = 16384;

/**
 * The step out of a hundred, from the largest magnitude down to 1 % of it, with the smallest mean |x − x̂|^2.4; codes are
 * unsigned where no value is negative (arXiv:2212.04780).
 */
export function startStep(values: Float32Array, bits: number): StepStart {
  let [min, max] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    min = Math.min(min, values[i]);
    max = Math.max(max, values[i]);
  }
  const [low, high] = min < 0 ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const whole = (min < 0 ? 2 * Math.max(-min, max) : max) / (2 ** bits - 1);
  const stride = Math.max(1, Math.floor(values.length / looked));
  let best = { scale: Math.max(whole, smallestStep), error: Infinity };
  for (let percent = 100; percent > 0 && whole > 0; percent--) {
    const scale = (percent / 100) * whole;
    let error = 0;
    for (let i = 0; i < values.length && error < best.error; i += stride) {
      error += power24(scale * Math.min(high, Math.max(low, rne(values[i] / scale))) - values[i]);
    }
    if (error < best.error) best = { scale, error };
  }
  return { scale: best.scale, low, high };
}
