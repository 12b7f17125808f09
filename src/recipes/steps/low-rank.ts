/** Weights split into a float branch of low rank and a rest that is rounded. */
import { observeInputRows } from '../../observe/input-rows.ts';
import { addBranches, branchBits, type BranchedLayers } from '../../transform/add-branch.ts';
import { openProducts } from '../../transform/layer-error.ts';
import { splitLowRank } from '../../transform/low-rank.ts';
import type { StepRunner } from '../state.ts';
import { keepsFunction, rankOf, sharedLayers, sharedSites } from './shared-inputs.ts';

export const lowRank: StepRunner<'low-rank'> = async (state, { step, rank, rounds, samples }, context) => {
  const groups = sharedSites(state, context);
  const seen = await observeInputRows(state.graph, context.options.engine, context.batches(state, step)(), [...groups.values()].flat(), samples);
  const products = await openProducts(context.options.engine);
  const branched: BranchedLayers[] = [];
  try {
    for (const [input, sites] of groups) {
      const fits = rankOf(rank, sites);
      if (fits === 0) continue;
      const split = await splitLowRank(products, await sharedLayers(state, context, sites, seen.get(input)!), fits, rounds);
      branched.push({ sites, branch: split, residuals: split.residuals });
      const [first] = split.errors;
      context.options.onLine?.(`${input}: rank ${fits}, ${split.errors.length} rounds: error ${(Math.min(...split.errors) / first).toFixed(3)} of the first`);
    }
  } finally {
    await products.dispose();
  }
  const { graph, kept, bare } = addBranches(state.graph, branched);
  await keepsFunction(state, graph, context);
  const activations = new Map([...state.activations].map(([output, format]) => [bare.get(output) ?? output, format]));
  const weights = branched.reduce((sum, { sites }) => sum + sites.reduce((count, site) => count + site.rows * site.cols, 0), 0);
  return {
    ...state, graph, activations, kept: new Set([...state.kept, ...kept]),
    notes: [...state.notes, `${branched.length} float branches of rank ${[...new Set(branched.map(({ branch }) => branch.rank))].sort((a, b) => a - b).join(', ')}: ${(branchBits(branched) / Math.max(1, weights)).toFixed(3)} bits a weight in half precision`],
  };
};
