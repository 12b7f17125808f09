/** How long a run will take, told before any weight is read. */
import type { BlockType } from '../tensor-ref.ts';
import { parseFormat } from '../formats/registry.ts';
import type { QuantizePlan } from './result.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import type { OutputSpec } from './target.ts';

/** Weights per second of one thread, reading and writing included, by recipe; measured with int4 on a 2.5 GHz server core. */
const byRecipe: Readonly<Record<string, number>> = {
  rtn: 80e6, 'scale-search': 38e6, importance: 35e6, gptq: 3e6, awq: 0.5e6, hqq: 0.3e6,
  // Training: thousands of steps, whose time goes with activations; measured on convolutional networks for inputs of 10 to 32 pixels.
  adaround: 500, brecq: 500, zeroq: 5000, genie: 300,
  // The same on transformers of 50 to 70 tokens.
  fp4dit: 15_000, 'lowbit-fp-diffusion': 15_000, quantvggt: 50_000,
  // Searches over trellises, smoothing and branches; measured on networks of 0.3 to 4 million weights.
  'q-palette': 20_000, svdquant: 25_000, 'lq-lora': 15_000, hawqv3: 50_000, mambaquant: 60_000, quamba2: 100_000, mixdq: 150_000,
};
/** Weights that keep their values, and recipes that are made of several of the above. */
const copied = 300e6, otherRecipe = 4e6;

/** The same by block type, whatever the recipe, for each of the threads that share them; types with simple scales come at the disk's pace. */
const byBlockType: Partial<Record<BlockType, number>> = { q2_k: 74e6, q3_k: 170e6, q4_k: 64e6, q5_k: 75e6, q6_k: 110e6, iq4_nl: 47e6, iq4_xs: 47e6 };
const simpleBlocks = 250e6;
/** Searches under importance try twice as much. */
const underImportance = 0.5;

/** A range about the estimate: machines differ by a factor of a few. */
export function secondsOf({ parameters }: SourceModel, specs: readonly OutputSpec[], settings: QuantizeSettings): QuantizePlan['seconds'] {
  let seconds = 1;
  for (const spec of specs) seconds += parameters / rateOf(spec, settings.threads);
  if (settings.verdict) seconds += 5 + (specs.length * parameters * settings.evaluationSamples) / 20e9;
  return { low: Math.ceil(seconds / 2), high: Math.ceil(seconds * 3) };
}

function rateOf({ target, scheme, recipe }: OutputSpec, threads: number): number {
  if (recipe === undefined) return copied;
  const { blockType } = parseFormat(scheme.weights, target === 'gguf' ? 'ggml' : undefined);
  // Parts that were joined take their turns.
  if (blockType === undefined) return 1 / recipe.name.split('+').reduce((seconds, part) => seconds + 1 / (byRecipe[part] ?? otherRecipe), 0);
  return (byBlockType[blockType] ?? simpleBlocks) * (recipe.name === 'importance' ? underImportance : 1) * threads;
}
