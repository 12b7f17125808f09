/**
 * Bits of weights for groups of layers that are judged by measures of their own (MixDQ, arXiv:2405.17873): each layer alone at
 * each width, a split of the budget, the best choice per group; of all plans the one whose outputs lie nearest is taken.
 */
import { decoupledPlans, type DecoupledPlan } from '../../allocate/decoupled.ts';
import type { Feeds } from '../../engine/session.ts';
import type { Tensor } from '../../engine/tensor.ts';
import { defineErrors } from '../../errors.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import { linearSites, storedOrder, type Linear } from '../../graph/linear.ts';
import { promoteWeights } from '../../graph/promote.ts';
import { squaredDistance } from '../../numeric/statistics.ts';
import { measureOutputs } from '../../observe/output-measures.ts';
import { floatWeights, replacedSensitivities } from '../../observe/sensitivity.ts';
import { openGraph } from '../../observe/taps.ts';
import { simulateQuantized } from '../../train/quantize-inputs.ts';
import type { LayerGroup } from '../recipe.ts';
import type { StepRunner } from '../state.ts';
import { outputsOf } from './balance.ts';
import { isCalled } from './protect.ts';

const errors = defineErrors('allocate', {
  format: (f: { format: string }) => [`the format ${f.format} has no widths to choose from`, 'ask for integers per channel or group, such as uint5/channel: their bits are the mean that is kept'],
  noPlan: (f: { bits: number }) => [`no choice of widths has a mean of ${f.bits} bits`, 'ask for a format with more bits'],
});

/** Samples that measure a layer. */
const measuredSamples = 32;

/** An integer format with another number of bits. */
export function atWidth(format: NumberFormat, bits: number): NumberFormat {
  const name = format.name.replace(/^(u?int)\d/, `$1${bits}`);
  if (!/^u?int\d/.test(format.name)) throw errors.format({ format: format.name });
  return parseFormat(name);
}

export const allocateDecoupled: StepRunner<'allocate-decoupled'> = async (state, { step, groups, extraBits, points }, context) => {
  const { engine, threads = 1, onLine } = context.options;
  const sites = linearSites(state.graph).filter((site) => context.formatOf(state, site) !== undefined);
  const asked = context.formatOf(state, sites[0])!;
  const members = divided(sites, groups);
  const feeds: Feeds[] = [];
  let images = 0;
  for await (const batch of context.batches(state, step)() as AsyncIterable<Feeds>) {
    if (images >= measuredSamples) break;
    feeds.push(batch);
    images += Object.values(batch)[0].shape[0];
  }
  const session = await openGraph(promoteWeights(state.graph, sites.map(({ id }) => id)), engine, { threads });
  const scored = [];
  const float = await outputsOf(session, feeds, await floatWeights(sites));
  try {
    for (const { group, layers } of members) {
      const formats = group.widths.map((bits) => atWidth(asked, bits));
      const others = await floatWeights(sites.filter((site) => !layers.includes(site)));
      const found = await replacedSensitivities(layers, formats, async (weights) => measureOutputs(group.measure, float, await outputsOf(session, feeds, { ...others, ...weights }), images));
      scored.push({ name: group.name, sizes: layers.map(({ rows, cols }) => rows * cols), widths: group.widths, scores: found.map(({ loss }) => formats.map(({ name }) => loss.get(name)!)) });
      onLine?.(`${group.name}: ${layers.length} layers measured by ${group.measure} at ${group.widths.join(', ')} bits`);
    }
  } finally {
    await session.dispose();
  }
  const meanBits = asked.bits + extraBits;
  const plans = decoupledPlans(scored, { meanBits, points });
  if (plans.length === 0) throw errors.noPlan({ bits: meanBits });
  // What layers lose alone does not add up: every plan is run as a whole, inputs in their formats.
  const activations = new Map(sites.flatMap((site) => { const format = context.activationOf(state, site); return format === undefined ? [] : [[site.output, format] as const]; }));
  const low = await openGraph(promoteWeights(await simulateQuantized(state.graph, new Map(), activations), sites.map(({ id }) => id)), engine, { threads });
  const decoded = new Map<string, Tensor>();
  let best: { plan: DecoupledPlan; error: number } | undefined;
  try {
    for (const plan of plans) {
      const weights: Record<string, Tensor> = {};
      for (const [g, { layers }] of members.entries()) for (const [i, site] of layers.entries()) {
        const format = atWidth(asked, plan.bits[g][i]);
        const key = `${site.id} ${format.name}`;
        const tensor = decoded.get(key) ?? { type: 'f32', shape: site.weight.shape, data: storedOrder(site, format.decode(format.encode(await site.weightMatrix(), site.rows, site.cols, { name: site.id }))) };
        decoded.set(key, tensor);
        weights[site.id] = tensor;
      }
      const error = squaredDistance(float, await outputsOf(low, feeds, weights));
      if (best === undefined || error < best.error) best = { plan, error };
    }
  } finally {
    await low.dispose();
  }
  const { plan } = best!;
  const formats = new Map(members.flatMap(({ layers }, g) => layers.map((site, i) => [site.id, atWidth(asked, plan.bits[g][i])] as const)));
  const note = `bits: mean ${plan.meanBits.toFixed(3)} of at most ${meanBits}, ${members.map(({ group }, g) => `${group.name} ${spelled(plan.bits[g])}`).join('; ')}; best of ${plans.length} plans by the error of the outputs on ${images} samples`;
  return { ...state, formats: new Map([...state.formats, ...formats]), notes: [...state.notes, note] };
};

/** Sites by the first group that calls them; groups without sites are left out. */
export function divided(sites: readonly Linear[], groups: readonly LayerGroup[]): { readonly group: LayerGroup; readonly layers: readonly Linear[] }[] {
  const first = (site: Linear): LayerGroup | undefined => groups.find(({ layers }) => isCalled(site, layers));
  return groups.map((group) => ({ group, layers: sites.filter((site) => first(site) === group) })).filter(({ layers }) => layers.length > 0);
}

/** `8: 5 layers, 4: 7 layers`. */
function spelled(bits: readonly number[]): string {
  const widths = [...new Set(bits)].sort((a, b) => b - a);
  return widths.map((width) => `${bits.filter((b) => b === width).length} layers at ${width}`).join(', ');
}
