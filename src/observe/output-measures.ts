/** How near the outputs of a network are to those of the float one, in the units that allocators of bits are given; larger is nearer. */
import { sqnr, squaredDistance } from '../numeric/statistics.ts';

/**
 * `noise`: power of the difference over that of the outputs, negated; it adds up over layers. `sqnr`: the same in dB, which
 * rises by 6 with every bit wherever it is spent. `ssim`: structural similarity.
 */
export type OutputMeasure = 'noise' | 'sqnr' | 'ssim';

/** Signal to noise of all outputs together in dB; 120 where they are equal. */
export const signalMeasure = (float: Float32Array, other: Float32Array): number => Math.min(120, sqnr(float, other));

/**
 * Mean over images of structural similarity (Wang et al. 2004) with one window as large as the image, as MixDQ's code has it
 * (arXiv:2405.17873); K1 = 0.01, K2 = 0.03, and `peak` the distance of the largest and smallest value an image can have.
 */
export function structureMeasure(float: Float32Array, other: Float32Array, images: number, peak: number): number {
  const size = float.length / images;
  const [c1, c2] = [(0.01 * peak) ** 2, (0.03 * peak) ** 2];
  let total = 0;
  for (let image = 0; image < images; image++) {
    let [a, b, aa, bb, ab] = [0, 0, 0, 0, 0];
    for (let i = image * size; i < (image + 1) * size; i++) {
      a += float[i] / size;
      b += other[i] / size;
      aa += float[i] ** 2 / size;
      bb += other[i] ** 2 / size;
      ab += (float[i] * other[i]) / size;
    }
    total += ((2 * a * b + c1) * (2 * (ab - a * b) + c2)) / ((a * a + b * b + c1) * (aa - a * a + bb - b * b + c2));
  }
  return total / images;
}

/** The measure by its name, for outputs whose first axis counts images. */
export function measureOutputs(measure: OutputMeasure, float: Float32Array, other: Float32Array, images: number): number {
  if (measure === 'sqnr') return signalMeasure(float, other);
  if (measure === 'noise') return -squaredDistance(float, other) / float.reduce((sum, value) => sum + value * value, 0);
  let [low, high] = [Infinity, -Infinity];
  for (const value of float) { low = Math.min(low, value); high = Math.max(high, value); }
  return structureMeasure(float, other, images, high - low);
}
