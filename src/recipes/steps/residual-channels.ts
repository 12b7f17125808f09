/** What ARCQuant does: channels sorted by size before rounding, and residual channels of the largest behind them after it. */
import { linearSites, type Linear } from '../../graph/linear.ts';
import { observeInputRows } from '../../observe/input-rows.ts';
import { appendResiduals, blockOf, repeatColumns, residualChannels, type ResidualInput } from '../../train/residual-channels.ts';
import { permuteInputs, risingOrder } from '../../transform/permute-inputs.ts';
import { turnable } from '../../transform/rotate.ts';
import type { StepRunner } from '../state.ts';
import { sharedSites } from './shared-inputs.ts';

export const sortChannels: StepRunner<'sort-channels'> = async (state, { step }, context) => {
  const sites = [...sharedSites(state, context).values()].flat();
  const seen = await observeInputRows(state.graph, context.options.engine, context.batches(state, step)(), sites);
  return { ...state, graph: await permuteInputs(state.graph, new Map([...seen].map(([value, { maxAbsolute }]) => [value, risingOrder(maxAbsolute)]))) };
};

export const residual: StepRunner<'residual-channels'> = async (state, { step, channels, samples }, context) => {
  const groups = new Map<string, Linear[]>();
  const refused: string[] = [];
  for (const site of turnable(state.graph)) {
    const [matrix, format] = [state.weights.get(site.id), context.activationOf(state, site)];
    if (matrix === undefined || format === undefined) continue;
    const [block, own] = [blockOf(format), blockOf(matrix.format)];
    if (block === undefined || own === undefined || site.cols % block !== 0 || site.cols % own !== 0) refused.push(site.id);
    else groups.set(site.input, [...(groups.get(site.input) ?? []), site]);
  }
  const sites = [...groups.values()].flat();
  if (sites.length === 0) return { ...state, notes: [...state.notes, 'no input takes residual channels: inputs and weights must be rounded in blocks along the row'] };
  const seen = await observeInputRows(state.graph, context.options.engine, context.batches(state, step)(), sites, samples);
  const inputs: ResidualInput[] = [];
  const weights = new Map(state.weights);
  let [before, after] = [0, 0];
  for (const [input, list] of groups) {
    const { values, count, cols } = seen.get(input)!;
    const format = context.activationOf(state, list[0])!;
    const steps = Math.max(blockOf(format)!, ...list.map(({ id }) => blockOf(state.weights.get(id)!.format)!));
    const wanted = channels === 'rule' ? residualChannels(values, count, cols) : cols * channels;
    const kept = Math.min(cols, steps * Math.ceil(wanted / steps));
    for (const { id, rows } of list) {
      const matrix = weights.get(id)!;
      const bits = matrix.format.bitsPerWeight(rows, cols);
      before += rows * cols;
      after += (bits * rows * cols * (cols + kept)) / cols;
      if (kept > 0) weights.set(id, await repeatColumns(matrix, kept, blockOf(matrix.format)!));
    }
    if (kept > 0) inputs.push({ sites: list, format, channels: kept });
    context.options.onLine?.(`${input}: ${kept} of ${cols} channels keep residuals`);
  }
  const graph = inputs.length === 0 ? state.graph : await appendResiduals(state.graph, inputs);
  const total = linearSites(graph).filter(({ id }) => inputs.some(({ sites: list }) => list.some((site) => site.id === id))).length;
  return {
    ...state, graph, weights,
    notes: [
      ...state.notes, `${total} weights repeat the columns of residual channels: ${(after / before).toFixed(3)} bits a weight of theirs in all`,
      ...(refused.length === 0 ? [] : [`without residual channels, for blocks do not end with rows: ${refused.join(', ')}`]),
    ],
  };
};
