/** What SVDQuant does to the float network before rounding: inputs lifted, smoothed by search, and weights split from a branch of low rank. */
import type { Linear } from '../../graph/linear.ts';
import { observeInputRows, type InputRows } from '../../observe/input-rows.ts';
import { firstBatch } from '../../observe/taps.ts';
import { parseFormat } from '../../formats/registry.ts';
import { isScaled } from '../../formats/scaled.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { addBranches, type BranchedLayers } from '../../transform/add-branch.ts';
import { balanceInputs } from '../../transform/balance.ts';
import { checkEquivalent } from '../../transform/check-equivalent.ts';
import { openProducts, type SharedLayers } from '../../transform/layer-error.ts';
import { splitLowRank } from '../../transform/low-rank.ts';
import { turnable } from '../../transform/rotate.ts';
import { shiftInputs } from '../../transform/shift.ts';
import { searchSmoothing } from '../../transform/smooth-search.ts';
import type { RecipeState, StepContext, StepRunner } from '../state.ts';

/** Products that are rounded, by the value they read: those whose inputs are rounded too, or all where no input is. */
export function sharedSites(state: RecipeState, context: StepContext): Map<string, Linear[]> {
  const rounded = turnable(state.graph).filter((site) => context.formatOf(state, site) !== undefined);
  const both = rounded.filter((site) => context.activationOf(state, site) !== undefined);
  const groups = new Map<string, Linear[]>();
  for (const site of both.length > 0 ? both : rounded) groups.set(site.input, [...(groups.get(site.input) ?? []), site]);
  return groups;
}

/** Layers with one input as searches take them. */
export async function sharedLayers(state: RecipeState, context: StepContext, sites: readonly Linear[], rows: InputRows): Promise<SharedLayers> {
  const layers = await Promise.all(sites.map(async (site) => ({ values: await site.weightMatrix(), rows: site.rows, format: context.formatOf(state, site)! })));
  return { rows, layers, input: context.activationOf(state, sites[0]) };
}

/** Integers without a sign where nothing below zero comes: the same groups and scales. */
function unsignedTwin(format: NumberFormat): NumberFormat | undefined {
  if (!isScaled(format) || format.integer === undefined || format.integer.asymmetric) return undefined;
  return parseFormat(format.name.replace(/^int(\d)(-full)?/, 'uint$1'));
}

export const shift: StepRunner<'shift'> = async (state, _step, context) => {
  const sites = [...sharedSites(state, context).values()].flat().filter((site) => { const format = context.activationOf(state, site); return format !== undefined && unsignedTwin(format) !== undefined; });
  if (sites.length === 0) return state;
  const { graph, unsigned } = await shiftInputs(state.graph, sites);
  const activations = new Map(state.activations);
  const ids = new Set(sites.map(({ id }) => id));
  for (const site of turnable(graph)) {
    if (!unsigned.has(site.input) || !ids.has(site.id)) continue;
    activations.set(site.output, unsignedTwin(context.activationOf(state, sites.find(({ id }) => id === site.id)!)!)!);
  }
  await keepsFunction(state, graph, context);
  const note = `${unsigned.size} inputs of layers are never negative, or lifted by 11/64 so that they are not: their codes have no sign`;
  return { ...state, graph, activations, notes: unsigned.size === 0 ? state.notes : [...state.notes, note] };
};

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
  const bits = branched.reduce((sum, { sites, branch }) => sum + 32 * branch.rank * (sites[0].cols + sites.reduce((rows, site) => rows + site.rows, 0)), 0);
  const weights = branched.reduce((sum, { sites }) => sum + sites.reduce((count, site) => count + site.rows * site.cols, 0), 0);
  return {
    ...state, graph, activations, kept: new Set([...state.kept, ...kept]),
    notes: [...state.notes, `${branched.length} float branches of rank ${[...new Set(branched.map(({ branch }) => branch.rank))].sort((a, b) => a - b).join(', ')}: ${(bits / Math.max(1, weights)).toFixed(3)} bits a weight in float32, half of it in half precision`],
  };
};

/** The rank asked for, at most one in 32 of the input channels: a branch as large as the layer would prove nothing. */
function rankOf(rank: number, sites: readonly Linear[]): number {
  const rows = sites.reduce((sum, site) => sum + site.rows, 0);
  return Math.min(rank, Math.floor(sites[0].cols / 32), Math.floor(rows / 2));
}

/** Throws where a step moved the output of the float network. */
async function keepsFunction({ graph: before, batches: made }: RecipeState, after: RecipeState['graph'], { options: { engine, batches } }: StepContext): Promise<void> {
  const samples = made ?? batches;
  if (samples !== undefined && before !== after) await checkEquivalent(before, after, engine, await firstBatch(samples()));
}
