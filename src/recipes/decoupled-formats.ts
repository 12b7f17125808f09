/**
 * Bits of weights for groups of layers that are judged by measures of their own (MixDQ, arXiv:2405.17873): each layer alone at
 * each width, a split of the budget, the best choice per group; of all plans the one whose results lie nearest is taken.
 */
import { decoupledPlans, type DecoupledPlan } from '../allocate/decoupled.ts';
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import { promoteWeights } from '../graph/promote.ts';
import { squaredDistance } from '../numeric/statistics.ts';
import { measureOutputs, type OutputMeasure } from '../observe/output-measures.ts';
import { floatWeights, replacedSensitivities } from '../observe/sensitivity.ts';
import { simulateQuantized } from '../train/quantize-inputs.ts';
import type { LayerGroup } from './recipe.ts';
import { isCalled } from './steps/protect.ts';

const errors = defineErrors('allocate', {
  format: (f: { format: string }) => [`the format ${f.format} has no widths to choose from`, 'ask for integers per channel or group, such as uint5/channel: their bits are the mean that is kept'],
  noPlan: (f: { bits: number }) => [`no choice of widths has a mean of ${f.bits} bits`, 'ask for a format with more bits'],
});

/** What a network with fed weights gives that can be compared: images, by their first axis. */
export interface Subject {
  results(weights: Feeds): Promise<Float32Array>;
  dispose(): Promise<void>;
}

export interface DecoupledSettings {
  readonly groups: readonly LayerGroup[];
  /** The format asked for; widths take the place of its bits. */
  readonly format: NumberFormat;
  /** Formats of inputs by the site's output, in place when whole plans are judged. */
  readonly activations: ReadonlyMap<string, NumberFormat>;
  readonly meanBits: number;
  /** Points along the budgets and the ratios of a split. */
  readonly points: number;
  /** Images in the results. */
  readonly images: number;
  /** Opens a graph whose weights of sites are inputs, for a measure of single layers or for plans as a whole. */
  open(graph: Graph, purpose: OutputMeasure | 'plan'): Promise<Subject>;
  onLine?(line: string): void;
}

export interface DecoupledChoice {
  /** By weight id. */
  readonly formats: ReadonlyMap<string, NumberFormat>;
  readonly meanBits: number;
  /** Plans that were judged as a whole. */
  readonly plans: number;
  /** Layers at each width, by group, in words. */
  readonly described: string;
}

/** Formats of the sites: by each group's measure within its share of the bits, the best plan by the squared error of its results. */
export async function decoupledFormats(graph: Graph, sites: readonly Linear[], settings: DecoupledSettings): Promise<DecoupledChoice> {
  const { groups, format, activations, meanBits, points, images, open, onLine } = settings;
  const ids = sites.map(({ id }) => id);
  const members = divided(sites, groups);
  const floats = await floatWeights(sites);
  const scored = [];
  for (const { group: { name, measure, widths }, layers } of members) {
    const subject = await open(promoteWeights(graph, ids), measure);
    try {
      const float = await subject.results(floats);
      const formats = widths.map((bits) => atWidth(format, bits));
      const found = await replacedSensitivities(layers, formats, async (weights) => measureOutputs(measure, float, await subject.results({ ...floats, ...weights }), images));
      scored.push({ name, sizes: layers.map(({ rows, cols }) => rows * cols), widths, scores: found.map(({ loss }) => formats.map((one) => loss.get(one.name)!)) });
    } finally {
      await subject.dispose();
    }
    onLine?.(`${name}: ${layers.length} layers measured by ${measure} at ${widths.join(', ')} bits`);
  }
  const plans = decoupledPlans(scored, { meanBits, points });
  if (plans.length === 0) throw errors.noPlan({ bits: meanBits });
  const formatsOf = ({ bits }: DecoupledPlan): Map<string, NumberFormat> =>
    new Map(members.flatMap(({ layers }, g) => layers.map((site, i) => [site.id, atWidth(format, bits[g][i])] as const)));
  // What layers lose alone does not add up: every plan is run as a whole, inputs in their formats.
  const [float, low] = [await open(promoteWeights(graph, ids), 'plan'), await open(promoteWeights(await simulateQuantized(graph, new Map(), activations), ids), 'plan')];
  const cache = new Map<string, Tensor>();
  let best: { plan: DecoupledPlan; error: number } | undefined;
  try {
    const wanted = await float.results(floats);
    for (const plan of plans) {
      const formats = formatsOf(plan);
      const weights: Record<string, Tensor> = {};
      for (const site of sites) weights[site.id] = formats.has(site.id) ? await decoded(site, formats.get(site.id)!, cache) : floats[site.id];
      const error = squaredDistance(wanted, await low.results(weights));
      if (best === undefined || error < best.error) best = { plan, error };
    }
  } finally {
    await Promise.all([float.dispose(), low.dispose()]);
  }
  const { plan } = best!;
  return { formats: formatsOf(plan), meanBits: plan.meanBits, plans: plans.length, described: members.map(({ group }, g) => `${group.name} ${spelled(plan.bits[g])}`).join('; ') };
}

/** An integer format with another number of bits. */
export function atWidth(format: NumberFormat, bits: number): NumberFormat {
  if (!/^u?int\d/.test(format.name)) throw errors.format({ format: format.name });
  return parseFormat(format.name.replace(/^(u?int)\d/, `$1${bits}`));
}

async function decoded(site: Linear, format: NumberFormat, cache: Map<string, Tensor>): Promise<Tensor> {
  const key = `${site.id} ${format.name}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const values = format.decode(format.encode(await site.weightMatrix(), site.rows, site.cols, { name: site.id }));
  const made: Tensor = { type: 'f32', shape: site.weight.shape, data: storedOrder(site, values) };
  cache.set(key, made);
  return made;
}

/** Sites by the first group that calls them; groups without sites are left out. */
function divided(sites: readonly Linear[], groups: readonly LayerGroup[]): { readonly group: LayerGroup; readonly layers: readonly Linear[] }[] {
  const first = (site: Linear): LayerGroup | undefined => groups.find(({ layers }) => isCalled(site, layers));
  return groups.map((group) => ({ group, layers: sites.filter((site) => first(site) === group) })).filter(({ layers }) => layers.length > 0);
}

/** `5 layers at 8, 7 layers at 4`. */
function spelled(bits: readonly number[]): string {
  const widths = [...new Set(bits)].sort((a, b) => b - a);
  return widths.map((width) => `${bits.filter((b) => b === width).length} layers at ${width}`).join(', ');
}
