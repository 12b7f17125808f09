/**
 * Weights split into a low-bit part and a float product of low rank, the format of each chosen by an integer program over
 * what its whole decomposition loses (LQ-LoRA, arXiv:2311.12023). The low-bit part is what rounding to nearest makes of
 * what the product leaves, so a step that rounds follows.
 */
import { chooseFormats, frontOf, pointOf, uniformChoice, type Allocation, type LayerOptions } from '../../allocate/allocation.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import type { Linear } from '../../graph/linear.ts';
import { firstBatches } from '../../observe/few-batches.ts';
import { decompose, type DecomposeOptions } from '../../round/lq-decompose.ts';
import { fisherDiagonals, isText } from '../../train/fisher.ts';
import { addBranches, branchBits } from '../../transform/add-branch.ts';
import { turnable } from '../../transform/rotate.ts';
import type { Step } from '../recipe.ts';
import type { RecipeState, StepContext, StepRunner } from '../state.ts';

/** Alternations that a format is judged by: most of the gain comes in the first. */
const roundsOfCosts = 3;

export const decomposeWeights: StepRunner<'decompose'> = async (state, settings, context) => {
  const { onLine } = context.options;
  const sites = [...new Map(turnable(state.graph).map((site) => [site.id, site])).values()].filter((site) => context.formatOf(state, site) !== undefined);
  const fisher = await fisherOf(state, sites, settings, context);
  const optionsOf = (site: Linear, rounds: number): DecomposeOptions => ({ rounds, half: true, ...(fisher === undefined ? {} : { fisher: fisher.get(site.id)! }) });
  const allocation = settings.formats.length === 0 ? undefined : await chosen(state, sites, settings, context, fisher !== undefined, optionsOf);
  const formats = new Map([...state.formats, ...allocation?.layers.map(({ id, format }) => [id, parseFormat(format)] as const) ?? []]);
  const next: RecipeState = { ...state, formats };
  const split = [];
  for (const [done, site] of sites.entries()) {
    const matrix = { values: await site.weightMatrix(), rows: site.rows, cols: site.cols, name: site.id };
    const rank = lowRankOf(settings.rank, site);
    const { left, right, residual, errors } = decompose(matrix, context.formatOf(next, site)!, rank, optionsOf(site, settings.rounds));
    split.push({ sites: [site], branch: { rank, down: right, ups: [left] }, residuals: [residual] });
    onLine?.(`[${String(done + 1).padStart(4)}/${sites.length}] ${site.id}: ${errors.length} alternations, error ${(Math.min(...errors) / errors[0]).toFixed(3)} of the first`);
  }
  const { graph, kept } = addBranches(state.graph, split);
  const weights = sites.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  return {
    ...next, graph, kept: new Set([...state.kept, ...kept]), ...(allocation === undefined ? {} : { allocation }),
    notes: [
      ...state.notes, ...(settings.sequences > 0 && fisher === undefined ? ['Fisher weights are of text alone: here all errors weigh alike'] : []),
      ...(allocation === undefined ? [] : [`formats by the error of decompositions${fisher === undefined ? '' : ' under Fisher weights'}: ${allocation.bitsPerWeight.toFixed(3)} bits per weight`]),
      `${split.length} float branches of rank ${settings.rank} add ${(branchBits(split) / Math.max(1, weights)).toFixed(3)} bits a weight in half precision`,
    ],
  };
};

/** The rank asked for, at most half of what the matrix can have. */
export const lowRankOf = (rank: number, { rows, cols }: Linear): number => Math.min(rank, Math.floor(Math.min(rows, cols) / 2));

/** Of language models that are given text; others weigh all errors alike. */
async function fisherOf(state: RecipeState, sites: readonly Linear[], { sequences }: Extract<Step, { step: 'decompose' }>, context: StepContext): Promise<ReadonlyMap<string, Float32Array> | undefined> {
  if (sequences === 0) return undefined;
  const batches = await firstBatches(context.batches(state, 'decompose')(), { samples: sequences, tokens: Infinity });
  return batches.every((feeds) => isText(feeds, state.graph)) ? fisherDiagonals(state.graph, context.options.engine, batches, sites, context.options.threads) : undefined;
}

async function chosen(
  state: RecipeState, sites: readonly Linear[], { rank, sequences, formats }: Extract<Step, { step: 'decompose' }>, context: StepContext, weighed: boolean, optionsOf: (site: Linear, rounds: number) => DecomposeOptions,
): Promise<Allocation> {
  const { measurements, onLine } = context.options;
  const name = JSON.stringify(['errors of decompositions', rank, weighed ? sequences : 0, sites.map(({ id, rows, cols }) => `${id} ${rows}x${cols}`)]);
  const costs = new Map(Object.entries(await measurements?.read(name) ?? {}));
  const before = costs.size;
  const asked = new Map(sites.map((site) => [site.id, context.formatOf(state, site)!]));
  const layers: LayerOptions[] = [];
  for (const site of sites) {
    const own: NumberFormat[] = [...new Map([...formats.map((one) => parseFormat(one)), asked.get(site.id)!].map((format) => [format.name, format])).values()];
    const options = [];
    for (const format of own) {
      const key = `${site.id} ${format.name}`;
      if (!costs.has(key)) {
        const { errors } = decompose({ values: await site.weightMatrix(), rows: site.rows, cols: site.cols, name: site.id }, format, lowRankOf(rank, site), optionsOf(site, roundsOfCosts));
        costs.set(key, Math.min(...errors) ** 2);
      }
      options.push({ format: format.name, bits: format.bitsPerWeight(site.rows, site.cols) * site.rows * site.cols, loss: costs.get(key)! });
    }
    layers.push({ id: site.id, weights: site.rows * site.cols, options });
  }
  if (costs.size > before) await measurements?.write(name, Object.fromEntries(costs));
  const uniform = layers.map(({ id, options }) => options.findIndex(({ format }) => format === asked.get(id)!.name));
  const size = { weights: layers.reduce((sum, { weights }) => sum + weights, 0), rest: 0 };
  const budget = { ...size, bitsPerWeight: pointOf(layers, uniform, size).bitsPerWeight };
  const choice = await chooseFormats(layers, budget);
  const point = pointOf(layers, choice, budget);
  onLine?.(`formats of ${layers.length} layers: summed error ${point.loss.toPrecision(4)} against ${pointOf(layers, uniform, size).loss.toPrecision(4)} uniform`);
  return {
    budget: budget.bitsPerWeight, bitsPerWeight: point.bitsPerWeight, counted: 'the low-bit parts of the weights that are rounded, branches not', loss: point.loss,
    measure: `squared error of weights and their decompositions${weighed ? ', each weighed by its Fisher entry' : ''}`, front: frontOf(layers, budget),
    uniform: [...new Set(formats)].flatMap((one) => {
      const same = uniformChoice(layers, parseFormat(one).name);
      return same === undefined ? [] : [{ format: parseFormat(one).name, ...pointOf(layers, same, budget) }];
    }),
    layers: layers.map(({ id, weights, options }, i) => ({ id, weights, ...options[choice[i]] })),
  };
}
