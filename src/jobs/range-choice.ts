/**
 * Ranges of activations as a recipe found them, or as wide as the values that were seen: averages over batches cut
 * outliers, which helps most networks and ruins those whose outliers carry the answer. Calibration data decide.
 */
import type { Applied } from '../recipes/apply.ts';
import type { StaticNoise } from './static-noise.ts';

/** Whichever of both has less noise in the worst output. */
export async function betterRanges(applied: Applied, sqnrOf: StaticNoise): Promise<Applied> {
  const wide = new Map([...applied.ranges].map(([value, range]) => [value, { ...range, low: Math.min(0, range.min), high: Math.max(0, range.max) }]));
  const differs = [...applied.ranges].some(([value, { low, high }]) => low !== wide.get(value)!.low || high !== wide.get(value)!.high);
  if (!differs) return applied;
  const widened = { ...applied, ranges: wide };
  return (await sqnrOf(widened)) > (await sqnrOf(applied)) ? widened : applied;
}
