/** What steps that look at layers by the inputs they share have in common. */
import type { Linear } from '../../graph/linear.ts';
import type { InputRows } from '../../observe/input-rows.ts';
import { firstBatch } from '../../observe/taps.ts';
import { checkEquivalent } from '../../transform/check-equivalent.ts';
import type { SharedLayers } from '../../transform/layer-error.ts';
import { turnable } from '../../transform/rotate.ts';
import type { RecipeState, StepContext } from '../state.ts';

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

/** The rank asked for, at most one in 32 of the input channels: a branch as large as the layer would prove nothing. */
export function rankOf(rank: number, sites: readonly Linear[]): number {
  const rows = sites.reduce((sum, site) => sum + site.rows, 0);
  return Math.min(rank, Math.floor(sites[0].cols / 32), Math.floor(rows / 2));
}

/** Throws where a step moved the output of the float network. */
export async function keepsFunction({ graph: before, batches: made }: RecipeState, after: RecipeState['graph'], { options: { engine, batches } }: StepContext): Promise<void> {
  const samples = made ?? batches;
  if (samples !== undefined && before !== after) await checkEquivalent(before, after, engine, await firstBatch(samples()));
}
