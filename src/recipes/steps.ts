/** What carries out each step of a recipe. Adding a step touches its own file, its type in `recipe.ts`, and one row here. */
import { equalizeLayers } from '../transform/cross-layer-equalization.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import type { Step } from './recipe.ts';
import type { StepRunner } from './state.ts';
import { distil } from './steps/distil.ts';
import { correctBias, observeActivationRanges, smooth } from './steps/observe.ts';
import { reconstruct } from './steps/reconstruct.ts';
import { round } from './steps/round.ts';

export const steps: { readonly [K in Step['step']]: StepRunner<K> } = {
  'fold-batchnorm': async (state) => ({ ...state, graph: foldBatchNorm(state.graph) }),
  equalize: async (state) => ({ ...state, graph: (await equalizeLayers(state.graph)).graph }),
  smooth,
  'observe-ranges': observeActivationRanges,
  distil,
  round,
  reconstruct,
  'correct-bias': correctBias,
};
