/** Floating-point formats searched per tensor: how many bits each exponent takes, and the scale with it. */
import { floatSplits } from '../../formats/float-splits.ts';
import { linearSites } from '../../graph/linear.ts';
import { sampleValues } from '../../observe/value-samples.ts';
import { encodeMatrix } from '../../round/encode-matrix.ts';
import { fixFloatInputs, searchFixedFloat } from '../../train/float-activations.ts';
import type { RecipeState, StepRunner } from '../state.ts';

/** Weights: the split with the smallest squared error, scales searched for each. */
export const searchSplits: StepRunner<'search-splits'> = async (state, _, context) => {
  const formats = new Map(state.formats);
  for (const site of linearSites(state.graph)) {
    const asked = context.formatOf(state, site);
    if (asked?.family !== 'minifloat') continue;
    const matrix = await site.weightMatrix();
    const [, granularity] = asked.name.split('/');
    let least = Infinity;
    for (const format of floatSplits(asked.bits, granularity)) {
      const { squaredError } = encodeMatrix(format, matrix, site.rows, site.cols, { name: site.id, search: 'mse' });
      if (squaredError >= least) continue;
      least = squaredError;
      formats.set(site.id, format);
    }
  }
  return { ...state, formats, notes: [...state.notes, `weights: ${counted([...formats.values()].map(({ name }) => name))}`] };
};

/** Inputs of rounded layers: the split and the scale with the smallest squared error on sample inputs, fixed in the graph. */
export const fixInputs: StepRunner<'fix-float-inputs'> = async (state, { step, bits }, context): Promise<RecipeState> => {
  const values = [...new Set(linearSites(state.graph).filter((site) => site.kernel.length === 0 && state.weights.has(site.id)).map(({ input }) => input))];
  const samples = await sampleValues(state.graph, context.options.engine, context.batches(state, step)(), values);
  const found = new Map([...samples].map(([value, numbers]) => [value, searchFixedFloat(numbers, floatSplits(bits, 'tensor'))]));
  return { ...state, graph: fixFloatInputs(state.graph, found), notes: [...state.notes, `inputs: ${counted([...found.values()].map(({ type }) => type.name))}`] };
};

/** `3 e2m1, 1 e1m2`. */
function counted(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
}
