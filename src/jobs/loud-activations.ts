/** Single activations inside a network that make much of its noise once they are integers: they are left float. */
import type { Applied } from '../recipes/apply.ts';
import { paysAsFloat, without } from './float-ends.ts';
import { rankedLayers } from './losing-layers.ts';
import type { StaticNoise } from './static-noise.ts';

/** dB of the outputs beyond which nothing is left float: what is that near loses nothing that is worth a slower layer. */
const near = 30;

/** The same weights with the ranges of those activations dropped, and a note for each. */
export async function floatLoudest(applied: Applied, sqnrOf: StaticNoise): Promise<Applied> {
  if ((await sqnrOf(applied)) >= near) return applied;
  const { layers } = await rankedLayers(applied, sqnrOf, applied.ranges.size);
  const loud = layers.filter(({ gain }) => paysAsFloat(1 - 10 ** (-gain / 10), 1, applied.ranges.size));
  if (loud.length === 0) return applied;
  const notes = loud.map(({ value, gain }) => `${value} stays float: rounding it alone would bring the outputs ${gain.toFixed(1)} dB further from the float model's`);
  return { ...without(applied, loud.map(({ value }) => value)), notes: [...applied.notes, ...notes] };
}
