/** Smoothing of inputs searched on the output error of the layers that read them. */
import { observeInputRows } from '../../observe/input-rows.ts';
import { balanceInputs } from '../../transform/balance.ts';
import { openProducts } from '../../transform/layer-error.ts';
import { searchSmoothing } from '../../transform/smooth-search.ts';
import type { StepRunner } from '../state.ts';
import { keepsFunction, rankOf, sharedLayers, sharedSites } from './shared-inputs.ts';

export const smoothSearch: StepRunner<'smooth-search'> = async (state, { step, grid, rank, samples }, context) => {
  const groups = sharedSites(state, context);
  const seen = await observeInputRows(state.graph, context.options.engine, context.batches(state, step)(), [...groups.values()].flat(), samples);
  const products = await openProducts(context.options.engine);
  const factors = new Map<string, Float32Array>();
  try {
    for (const [input, sites] of groups) {
      const choice = await searchSmoothing(products, await sharedLayers(state, context, sites, seen.get(input)!), { grid, rank: rankOf(rank, sites) });
      if (choice.alpha > 0) factors.set(input, choice.factors);
      context.options.onLine?.(`${input}: smoothing ${choice.alpha.toFixed(2)}, ${choice.beta.toFixed(2)}: error ${(choice.error / choice.plain).toFixed(3)} of the one without`);
    }
  } finally {
    await products.dispose();
  }
  const graph = await balanceInputs(state.graph, factors, { into: 'gains' });
  await keepsFunction(state, graph, context);
  return { ...state, graph, notes: [...state.notes, `${factors.size} of ${groups.size} inputs smoothed`] };
};
