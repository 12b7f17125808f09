/** Steps that look at activations and change little: smoothing by channel maxima, ranges, means restored through biases. */
import { linearSites } from '../../graph/linear.ts';
import { momentKey, observeMoments } from '../../observe/moments.ts';
import { observeRanges } from '../../observe/ranges.ts';
import { biasShift, correctBias as withShifts } from '../../transform/bias-correction.ts';
import { smoothQuant } from '../../transform/smoothquant.ts';
import { observable, type StepRunner } from '../state.ts';

export const smooth: StepRunner<'smooth'> = async (state, { step, alpha }, context) => {
  const { graph } = state;
  const moments = await observeMoments(graph, context.options.engine, context.batches(state, step)(), observable(linearSites(graph)), { hessian: false });
  return { ...state, graph: (await smoothQuant(graph, moments, { alpha })).graph };
};

export const observeActivationRanges: StepRunner<'observe-ranges'> = async (state, { step, method }, context) => {
  const { graph } = state;
  const { engine, activationValues } = context.options;
  const batches = context.batches(state, step);
  const values = await activationValues?.(graph) ?? [];
  return values.length === 0 ? state : { ...state, ranges: await observeRanges(graph, engine, batches(), values, { method }) };
};

export const correctBias: StepRunner<'correct-bias'> = async (state, { step }, context) => {
  const { graph, weights } = state;
  const sites = observable(linearSites(graph)).filter((site) => weights.has(site.id));
  const moments = await observeMoments(graph, context.options.engine, context.batches(state, step)(), sites, { hessian: false });
  const shifts = new Map<string, Float64Array>();
  for (const site of sites) {
    const matrix = weights.get(site.id)!;
    const decoded = matrix.format.decode(await matrix.read(0, matrix.rows));
    shifts.set(site.output, biasShift(site, await site.weightMatrix(), decoded, moments.get(momentKey(site))!.mean));
  }
  return { ...state, graph: await withShifts(graph, shifts) };
};
