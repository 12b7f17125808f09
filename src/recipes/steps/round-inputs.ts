/** Inputs of layers on fixed 8-bit grids per tensor; the few that lose most by it stay float. */
import { linearSites } from '../../graph/linear.ts';
import { observeRanges } from '../../observe/ranges.ts';
import { signalMeasure } from '../../observe/output-measures.ts';
import { someBatches } from '../../observe/some-batches.ts';
import { roundInputs as onGrids } from '../../train/static-inputs.ts';
import type { StepRunner } from '../state.ts';
import { outputs } from './balance.ts';

/** Samples that tell which inputs lose most. */
const measuredSamples = 32;

export const roundInputs: StepRunner<'round-inputs'> = async (state, { step, protect }, context) => {
  const { engine } = context.options;
  const batches = context.batches(state, step);
  const values = [...new Set(linearSites(state.graph).filter((site) => context.formatOf(state, site) !== undefined).map(({ input }) => input))];
  const ranges = await observeRanges(state.graph, engine, batches(), values, { method: 'minmax' });
  const { feeds } = await someBatches(batches(), measuredSamples);
  const float = await outputs(state.graph, feeds, context);
  const scores: { value: string; sqnr: number }[] = [];
  for (const value of values) {
    const alone = onGrids(state.graph, new Map([[value, ranges.get(value)!]]));
    scores.push({ value, sqnr: signalMeasure(float, await outputs(alone, feeds, context)) });
  }
  scores.sort((a, b) => a.sqnr - b.sqnr);
  const kept = scores.slice(0, Math.ceil(protect * values.length)).map(({ value }) => value);
  const graph = onGrids(state.graph, new Map(values.filter((value) => !kept.includes(value)).map((value) => [value, ranges.get(value)!])));
  return { ...state, graph, notes: [...state.notes, `inputs: ${values.length - kept.length} on fixed 8-bit grids, float where they lose most: ${kept.join(', ')}`] };
};
