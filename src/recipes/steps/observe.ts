/** Steps that look at activations and change little: smoothing by channel maxima, ranges, means restored through biases. */
import { linearSites } from '../../graph/linear.ts';
import { observable } from '../../observe/moments.ts';
import { observeRanges } from '../../observe/ranges.ts';
import { correctBiases } from '../../transform/bias-correction.ts';
import { smoothQuant } from '../../transform/smoothquant.ts';
import { keptMoments, keptRanges } from '../kept.ts';
import type { StepRunner } from '../state.ts';

export const smooth: StepRunner<'smooth'> = async (state, { step, alpha }, context) => {
  const { graph } = state;
  const moments = await keptMoments(state, context, step, observable(linearSites(graph)), { hessian: false }, context.batches(state, step)());
  return { ...state, graph: (await smoothQuant(graph, moments, { alpha })).graph };
};

export const observeActivationRanges: StepRunner<'observe-ranges'> = async (state, { step, method }, context) => {
  const { graph } = state;
  const { engine, activationValues } = context.options;
  const batches = context.batches(state, step);
  const values = await activationValues?.(graph) ?? [];
  return values.length === 0 ? state : { ...state, ranges: await keptRanges(state, context, method, values, () => observeRanges(graph, engine, batches(), values, { method })) };
};

export const correctBias: StepRunner<'correct-bias'> = async (state, { step }, context) =>
  ({ ...state, graph: await correctBiases(state.graph, state.weights, context.options.engine, context.batches(state, step)()) });
