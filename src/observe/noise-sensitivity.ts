/**
 * How fast the outputs move with noise in one layer: the loss as a slope times the relative squared error of the weight
 * (the linearity that HIGGS, arXiv:2411.17525, and Q-Palette, arXiv:2509.20214, allocate bits by). One measurement of a
 * layer serves every format, whose own error is known beforehand.
 *
 * Codes of least squared error do more than add noise: of a relative error D they shrink the weight by D, and only D·(1 − D)
 * is noise (the error of a centroid code is uncorrelated with what it decodes to). Layers mind shrinking more than noise,
 * so its loss is measured too.
 */
import type { Linear } from '../graph/linear.ts';
import { normal } from '../numeric/random.ts';
import type { WeightTrials } from './weight-trials.ts';

export interface NoiseOptions {
  /** Norms of the noise relative to the weight's. Default 0.05 and 0.1. */
  readonly levels?: readonly number[];
  readonly seed?: number;
  onSite?(site: Linear, done: number, total: number): void;
}

export interface NoiseSensitivity {
  readonly site: Linear;
  /** Loss per relative squared error: the mean over levels of loss / level². */
  readonly slope: number;
  /** What was measured, by level. */
  readonly losses: readonly number[];
  /** Loss per square of the share by which the weight shrinks. */
  readonly shrinkage: number;
}

/** Loss of a layer whose weight takes a code of this relative squared error. */
export const codeLoss = ({ slope, shrinkage }: Pick<NoiseSensitivity, 'slope' | 'shrinkage'>, error: number): number => slope * error * (1 - error) + shrinkage * error * error;

/** Share by which weights are shrunk to see what it costs. */
const shrunk = 0.1;

export async function noiseSensitivities(trials: WeightTrials, sites: readonly Linear[], options: NoiseOptions = {}): Promise<NoiseSensitivity[]> {
  const { levels = [0.05, 0.1], seed = 0, onSite } = options;
  const found: NoiseSensitivity[] = [];
  for (const [index, site] of sites.entries()) {
    const matrix = await site.weightMatrix();
    let square = 0;
    for (let i = 0; i < matrix.length; i++) square += matrix[i] * matrix[i];
    const deviation = Math.sqrt(square / matrix.length);
    const noise = Float32Array.from(matrix, (_, i) => deviation * normal(seed, index, i));
    const losses: number[] = [];
    for (const level of levels) losses.push(await trials.measure(new Map([[site.id, matrix.map((x, i) => x + level * noise[i])]])));
    const shrinkage = (await trials.measure(new Map([[site.id, matrix.map((x) => (1 - shrunk) * x)]]))) / shrunk ** 2;
    found.push({ site, slope: losses.reduce((sum, loss, i) => sum + loss / levels[i] ** 2, 0) / levels.length, losses, shrinkage });
    onSite?.(site, found.length, sites.length);
  }
  return found;
}
