/** What COMET does: channels of inputs sorted by size, and blocks of them at two widths, fixed by what calibration saw. */
import { parseFormat } from '../../formats/registry.ts';
import { mixedFormat } from '../../formats/mixed-blocks.ts';
import { isScaled, type ScaledFormat } from '../../formats/scaled.ts';
import type { Linear } from '../../graph/linear.ts';
import { observeInputRows } from '../../observe/input-rows.ts';
import { largestBlocks, outlierBlocks, outlierChannels } from '../../transform/outlier-blocks.ts';
import { permuteInputs, risingOrder } from '../../transform/permute-inputs.ts';
import type { RecipeState, StepContext, StepRunner } from '../state.ts';
import { keepsFunction, sharedSites } from './shared-inputs.ts';

const narrowDefault = 'int4/g128';

/** The format of narrow blocks: what inputs were asked to take, where it is an integer in groups. */
function narrowOf(state: RecipeState, site: Linear, context: StepContext): ScaledFormat {
  const asked = context.activationOf(state, site);
  const usable = asked !== undefined && isScaled(asked) && asked.granularity.kind === 'group' && asked.integer !== undefined && asked.integer.qmin === -asked.integer.qmax && asked.bits < 8;
  return usable ? asked : (parseFormat(narrowDefault) as ScaledFormat);
}

export const mixBlocks: StepRunner<'mix-blocks'> = async (state, { step, wide, most, sort }, context) => {
  const groups = sharedSites(state, context);
  const seen = await observeInputRows(state.graph, context.options.engine, context.batches(state, step)(), [...groups.values()].flat(), 1);
  const activations = new Map(state.activations);
  const orders = new Map<string, Uint32Array>();
  let [eight, all] = [0, 0];
  for (const [input, sites] of groups) {
    const { maxAbsolute } = seen.get(input)!;
    const narrow = narrowOf(state, sites[0], context);
    const rising = risingOrder(maxAbsolute);
    const order = sort ? rising : rising.map((_, i) => i);
    const count = Math.ceil(maxAbsolute.length / narrow.group);
    const asked = wide === 'rule' ? outlierBlocks(outlierChannels(maxAbsolute), rising, narrow.group).length : Math.round(wide * count);
    const taken = Math.min(asked, wide === 'rule' ? Math.max(1, Math.floor(most * count)) : count);
    const blocks = largestBlocks(maxAbsolute, order, narrow.group, taken);
    const high = parseFormat(narrow.name.replace(/^int\d/, 'int8')) as ScaledFormat;
    const format = taken === 0 ? narrow : taken === count ? high : mixedFormat(narrow, high, blocks);
    for (const { output } of sites) activations.set(output, format);
    if (sort) orders.set(input, order);
    const products = sites.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
    eight += (products * taken) / count;
    all += products;
    context.options.onLine?.(`${input}: ${taken} of ${count} blocks take 8 bits`);
  }
  const graph = await permuteInputs(state.graph, orders);
  await keepsFunction(state, graph, context);
  const share = all === 0 ? 0 : eight / all;
  return { ...state, graph, activations, notes: [...state.notes, `inputs: ${(100 * (1 - share)).toFixed(1)} % of the products see 4 bits, the others 8: ${(4 + 4 * share).toFixed(2)} bits a value, scales not counted`] };
};
