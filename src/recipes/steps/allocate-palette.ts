/**
 * Formats per layer from a palette of fractional widths: a layer's loss follows from its sensitivity to noise and to shrinking
 * and from what the format loses on normal weights, and an integer program finds the least sum in the bits of the format that was asked for. The
 * choice stands only where, with all layers low-bit, it is no worse than that format everywhere.
 */
import { pointOf, chooseFormats, frontOf, uniformChoice, type Allocation, type LayerOptions } from '../../allocate/allocation.ts';
import { gaussianError } from '../../allocate/gaussian-error.ts';
import { parseFormat } from '../../formats/registry.ts';
import { weightSites, type Linear } from '../../graph/linear.ts';
import { codeLoss, noiseSensitivities, type NoiseSensitivity } from '../../observe/noise-sensitivity.ts';
import type { Distance } from '../../observe/output-distance.ts';
import { firstBatches } from '../../observe/few-batches.ts';
import { weightTrials, type WeightTrials } from '../../observe/weight-trials.ts';
import { encodeMatrix } from '../../round/encode-matrix.ts';
import { observable } from '../../observe/moments.ts';
import type { StepContext, StepRunner } from '../state.ts';

/** Samples and tokens that sensitivities are measured on. */
const most = { samples: 64, tokens: 2048 } as const;

export const allocatePalette: StepRunner<'allocate-palette'> = async (state, { formats }, context) => {
  const { engine, threads, seed = 0, distance = 'kl', onLine } = context.options;
  const sites = observable(weightSites(state.graph)).filter((site) => context.formatOf(state, site) !== undefined);
  const asked = new Map(sites.map((site) => [site.id, context.formatOf(state, site)!.name]));
  const trials = await weightTrials(state.graph, engine, await firstBatches(context.batches(state, 'allocate-palette')(), most), sites, distance, threads);
  try {
    const sensitivities = await known(sites, trials, seed, distance, context);
    const layers = sensitivities.map(({ site, ...sensitivity }): LayerOptions => ({
      id: site.id, weights: site.rows * site.cols,
      options: [...new Set([...formats, asked.get(site.id)!])].map((name) => {
        const format = parseFormat(name);
        return { format: format.name, bits: format.bitsPerWeight(site.rows, site.cols) * site.rows * site.cols, loss: codeLoss(sensitivity, gaussianError(format)) };
      }),
    }));
    const uniform = layers.map(({ id, options }) => options.findIndex(({ format }) => format === asked.get(id)));
    const size = { weights: layers.reduce((sum, { weights }) => sum + weights, 0), rest: 0 };
    const budget = { ...size, bitsPerWeight: pointOf(layers, uniform, size).bitsPerWeight };
    const mixed = await chooseFormats(layers, budget);
    const together = new Map<readonly number[], number>();
    for (const choice of [mixed, uniform]) together.set(choice, await measured(trials, sites, layers, choice));
    const choice = together.get(mixed)! <= together.get(uniform)! ? mixed : uniform;
    const point = pointOf(layers, choice, budget);
    const allocation: Allocation = {
      budget: budget.bitsPerWeight, bitsPerWeight: point.bitsPerWeight, counted: 'the weights that are rounded', loss: point.loss, measured: together.get(choice)!,
      measure: distance === 'kl' ? 'mean KL to the float model, nats' : 'power of the outputs\' error by that of the outputs',
      front: frontOf(layers, budget),
      uniform: formats.flatMap((name) => {
        const same = uniformChoice(layers, parseFormat(name).name);
        return same === undefined ? [] : [{ format: parseFormat(name).name, ...pointOf(layers, same, budget), ...(same.join() === uniform.join() ? { measured: together.get(uniform)! } : {}) }];
      }),
      layers: layers.map(({ id, weights, options }, i) => ({ id, weights, ...options[choice[i]] })),
    };
    const note = `formats from a palette of ${formats.length} by sensitivity to noise: ${allocation.bitsPerWeight.toFixed(3)} bits per weight, ${allocation.measure} ${together.get(mixed)!.toPrecision(3)} mixed against ${together.get(uniform)!.toPrecision(3)} uniform`;
    onLine?.(note);
    return { ...state, allocation, formats: new Map([...state.formats, ...allocation.layers.map(({ id, format }) => [id, parseFormat(format)] as const)]), notes: [...state.notes, note] };
  } finally {
    await trials.dispose();
  }
};

/** Sensitivities of an earlier run on the same network and data, or measured now and kept. */
async function known(sites: readonly Linear[], trials: WeightTrials, seed: number, distance: Distance, { recipe, options: { measurements } }: StepContext): Promise<Pick<NoiseSensitivity, 'site' | 'slope' | 'shrinkage'>[]> {
  const before = recipe.steps.slice(0, recipe.steps.findIndex(({ step }) => step === 'allocate-palette'));
  const name = JSON.stringify(['sensitivities to noise', before, distance, most, seed, sites.map(({ id, rows, cols }) => `${id} ${rows}x${cols}`)]);
  const kept = await measurements?.read(name);
  if (kept !== undefined) return sites.map((site) => ({ site, slope: kept[`${site.id} slope`], shrinkage: kept[`${site.id} shrinkage`] }));
  const found = await noiseSensitivities(trials, sites, { seed });
  await measurements?.write(name, Object.fromEntries(found.flatMap(({ site: { id }, slope, shrinkage }) => [[`${id} slope`, slope], [`${id} shrinkage`, shrinkage]])));
  return found;
}

/** The loss of a choice with every layer rounded. */
async function measured(trials: WeightTrials, sites: readonly Linear[], layers: readonly LayerOptions[], choice: readonly number[]): Promise<number> {
  const replaced = new Map<string, Float32Array>();
  for (const [i, site] of sites.entries()) {
    const format = parseFormat(layers[i].options[choice[i]].format);
    replaced.set(site.id, format.decode(encodeMatrix(format, await site.weightMatrix(), site.rows, site.cols, { name: site.id })));
  }
  return trials.measure(replaced);
}
