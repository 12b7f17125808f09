/** How long a run will take, told before any weight is read. */
import type { BlockType } from '../tensor-ref.ts';
import { isBlockFormat } from '../formats/column-blocks.ts';
import { parseFormat } from '../formats/registry.ts';
import { isRotated } from '../formats/rotated.ts';
import { linearSites } from '../graph/linear.ts';
import { mostTrialWeights } from '../recipes/steps/allocate.ts';
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

/** Where formats are chosen by measurement: weights per second that are encoded by codes of one weight and by trellises, and products per second of the network that tries them. */
const codesTried = 8e6, trellisesTried = 0.6e6, products = 40e9;
/** Positions that the network runs over in a trial, roughly: tokens of text. */
const trialPositions = 1024;

/** A range about the estimate: machines differ by a factor of a few. */
export function secondsOf(model: SourceModel, specs: readonly OutputSpec[], settings: QuantizeSettings): QuantizePlan['seconds'] {
  const { parameters } = model;
  let seconds = 1;
  for (const spec of specs) seconds += parameters / rateOf(spec, settings.threads) + searchSeconds(model, spec, settings.data !== undefined);
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

/** What finding a format for every layer takes on a first run; what was measured is kept. */
function searchSeconds({ parameters, graph }: SourceModel, { scheme: { budget } }: OutputSpec, hasData: boolean): number {
  if (budget === undefined) return 0;
  const formats = budget.formats.map((name) => parseFormat(name));
  const encoding = formats.reduce((sum, format) => sum + parameters / (isBlockFormat(isRotated(format) ? format.inner : format) ? trellisesTried : codesTried), 0);
  const layers = linearSites(graph).length;
  // Beyond so much work one format per layer stands for the others.
  const trials = parameters * layers * formats.length > mostTrialWeights ? layers : layers * formats.length;
  return encoding + (hasData ? (trials * parameters * trialPositions) / products : 0);
}
