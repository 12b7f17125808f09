/**
 * Biases that make up for the mean error of rounded weights (bias correction), where calibration data have less noise
 * that way: the means are those of the float network's inputs, which rounding further up may have moved.
 */
import type { Engine } from '../engine/session.ts';
import type { Batches } from '../observe/taps.ts';
import type { Applied } from '../recipes/apply.ts';
import { correctBiases } from '../transform/bias-correction.ts';
import type { StaticNoise } from './static-noise.ts';

/** Whichever of both has less noise in the worst output. */
export async function betterBiases(applied: Applied, engine: Engine, batches: Batches, sqnrOf: StaticNoise): Promise<Applied> {
  const corrected = { ...applied, graph: await correctBiases(applied.graph, applied.weights, engine, batches) };
  return (await sqnrOf(corrected)) > (await sqnrOf(applied)) ? corrected : applied;
}
