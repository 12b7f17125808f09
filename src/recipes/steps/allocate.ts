/**
 * Formats per layer for a budget of bits, chosen by what each format costs in each layer on sample inputs, all other layers
 * float; without inputs by the error of the weights alone. Of the choice and of single formats within the budget, the one
 * that is nearest to the float network with all layers low-bit is taken.
 */
import {
  budgetTexts, chooseFormats, frontOf, frontOfUse, isWithin, limitNames, limitUnits, pointOf, uniformChoice, type Allocation, type AllocationBudget, type AllocationPoint, type FormatOption, type LayerOptions,
} from '../../allocate/allocation.ts';
import type { NumberFormat } from '../../formats/format.ts';
import { parseFormat } from '../../formats/registry.ts';
import { weightSites, type Linear } from '../../graph/linear.ts';
import { firstBatches } from '../../observe/few-batches.ts';
import type { Distance } from '../../observe/output-distance.ts';
import { weightTrials, type WeightTrials } from '../../observe/weight-trials.ts';
import { layerUses } from './layer-uses.ts';
import { encodeMatrix } from '../../round/encode-matrix.ts';
import { sumOfSquares } from '../../round/quantized-matrix.ts';
import type { RecipeState, StepContext, StepRunner, StorageCost } from '../state.ts';

/** Samples that measure a layer, and tokens where the input is tokens. */
const most = { samples: 64, tokens: 1024 } as const;
/** Weights that all trials may multiply with together before one format per layer stands for the others: minutes on two cores. */
export const mostTrialWeights = 2.5e10;
/** What a network is said to lose whose outputs are no numbers any more. */
const ruined = 1e9;

const measures: Readonly<Record<Distance | 'weights', string>> = {
  kl: 'mean KL to the float model, nats', noise: 'power of the outputs\' error by that of the outputs', weights: 'squared error of the weights by their squares, summed over layers',
};

export const allocate: StepRunner<'allocate'> = async (state, { bits, formats, limits = {} }, context) => {
  const { options } = context;
  const { onLine, storage = ownStorage(weightSites(state.graph)) } = options;
  const candidates = formats.map((name) => parseFormat(name));
  const fixed = (site: Linear): NumberFormat | undefined => options.ownFormat?.(site);
  // A layer that was given a format has that one to choose from: it counts in the budget like all others.
  const candidatesOf = (site: Linear): readonly NumberFormat[] => { const own = fixed(site); return own === undefined ? candidates : [own]; };
  const sites = weightSites(state.graph).filter((site) => context.formatOf(state, site) !== undefined && candidatesOf(site).some((format) => format.refuses(site.rows, site.cols) === undefined));
  const losses = await formatLosses(state, sites, { all: candidates, of: candidatesOf }, context);
  const uses = await layerUses(state, candidates, limits, context);
  const layers: LayerOptions[] = [];
  for (const site of sites) {
    const own: FormatOption[] = [];
    for (const format of candidatesOf(site)) {
      if (format.refuses(site.rows, site.cols) === undefined) own.push({ format: format.name, bits: await storage.bitsOf(site, format), loss: losses.values.get(key(site.id, format))!, ...await uses.of(site, format) });
    }
    layers.push({ id: site.id, weights: site.rows * site.cols, options: own, ...(fixed(site) === undefined ? {} : { fixed: true }) });
  }
  const budget: AllocationBudget = { ...limits, bitsPerWeight: bits, weights: storage.weights, rest: await storage.rest(state.graph, new Set(sites.map(({ id }) => id))), offers: offersBeside(candidates) };
  /** Bits of what the layers of a choice share. */
  const sharedIn = async (choice: readonly number[]): Promise<number> => await storage.shared?.(
    sites.map((site, i) => ({ site, format: parseFormat(layers[i].options[choice[i]].format) })), choice.reduce((sum, option, i) => sum + layers[i].options[option].bits, 0),
  ) ?? 0;
  /** The budget with so much taken from it already. */
  const less = (shared: number): AllocationBudget => ({ ...budget, rest: budget.rest + shared });
  const uniform: (AllocationPoint & { readonly format: string; readonly choice: readonly number[]; readonly shared: number })[] = [];
  for (const format of candidates) {
    const same = uniformChoice(layers, format.name);
    if (same === undefined) continue;
    const shared = await sharedIn(same);
    uniform.push({ format: format.name, choice: same, shared, ...pointOf(layers, same, less(shared)) });
  }
  const together = new Map<string, number>();
  let choice: readonly number[];
  try {
    const rivals = uniform.filter((one) => isWithin(layers, one.choice, less(one.shared)));
    choice = await chosenWithin(layers, less, sharedIn, rivals);
    if (losses.distance !== undefined) {
      for (const one of [choice, ...rivals.map((rival) => rival.choice)]) together.set(one.join(), await losses.together(one, layers));
      for (const rival of rivals) if (together.get(rival.choice.join())! < together.get(choice.join())!) ({ choice } = rival);
    }
  } finally {
    await losses.close();
  }
  const shared = await sharedIn(choice);
  const reached = pointOf(layers, choice, less(shared));
  const limited = limitNames.filter((name) => limits[name] !== undefined).map((name) => ({
    name, counted: uses.counted[name], budget: limits[name]!, reached: reached[name]!, float: uses.float()[name]!, front: frontOfUse(layers, name),
  }));
  const allocation: Allocation = {
    budget: bits, bitsPerWeight: reached.bitsPerWeight, counted: storage.counted, measure: `${measures[losses.distance ?? 'weights']}${losses.extrapolates ? ' (measured in one format per layer, in others as the error of the weights)' : ''}`, loss: reached.loss,
    ...measuredOf(together, choice), front: frontOf(layers, less(shared)),
    ...(limited.length === 0 ? {} : { limits: limited }),
    uniform: uniform.map(({ choice: same, shared: _shared, ...point }) => ({ ...point, ...measuredOf(together, same) })),
    layers: layers.map(({ id, weights, options: own }, i) => ({ id, weights, ...own[choice[i]] })),
  };
  const given = layers.filter((layer) => layer.fixed).length;
  const note = `formats for ${budgetTexts(bits, limits, 'bits per weight').join(', ')} chosen by ${losses.distance === undefined ? 'the error of the weights alone, because no data were given' : allocation.measure}: ${reached.bitsPerWeight.toFixed(3)} bits, ${limited.map((one) => `${one.reached.toPrecision(3)} of ${one.budget} ${limitUnits[one.name]} (float: ${one.float.toPrecision(3)}), `).join('')}${spelled(allocation)}${given === 0 ? '' : `; ${given} of them as asked`}`;
  onLine?.(losses.measured === 0 ? `${note}; every figure was measured before` : note);
  const chosen = new Map(allocation.layers.map(({ id, format }) => [id, parseFormat(format)]));
  return { ...state, formats: new Map([...state.formats, ...chosen]), allocation, notes: [...state.notes, note] };
};

/** GGUF files hold no trellises, and where widths are fractions they were offered already. */
const offersBeside = (candidates: readonly NumberFormat[]): string =>
  (candidates.some(({ family, bits }) => family === 'ggml' || !Number.isInteger(bits)) ? 'offer smaller formats with --candidates' : 'offer finer ones with --candidates plain,trellis');

/** Between two rooms for what layers share, of which one is too small, so many more are tried. */
const roomsTried = 6;

/** The best choice that leaves room for what its layers share; where no mix does, the best single format that fits. */
async function chosenWithin(
  layers: readonly LayerOptions[], less: (shared: number) => AllocationBudget, sharedIn: (choice: readonly number[]) => Promise<number>, rivals: readonly (AllocationPoint & { readonly choice: readonly number[] })[],
): Promise<readonly number[]> {
  /** With as much room as was kept for it, or within the budget all the same. */
  const fits = async (choice: readonly number[], kept: number): Promise<boolean> => {
    const shared = await sharedIn(choice);
    return shared <= kept || pointOf(layers, choice, less(shared)).bitsPerWeight <= less(shared).bitsPerWeight;
  };
  const lossOf = (choice: readonly number[]): number => pointOf(layers, choice, less(0)).loss;
  let [small, room] = [0, 0];
  const smallest = layers.map(({ options }) => options.reduce((least, { bits }, i) => (bits < options[least].bits ? i : least), 0));
  // Where not even these fit, what is said of them counts what they share.
  const beyond = pointOf(layers, smallest, less(0)).bitsPerWeight > less(0).bitsPerWeight;
  let best = await chooseFormats(layers, less(beyond ? await sharedIn(smallest) : 0));
  while (!(await fits(best, room))) {
    // It only grows, by whole tables, of which there are few.
    [small, room] = [room, await sharedIn(best)];
    try {
      best = await chooseFormats(layers, less(room));
    } catch (error) {
      const [single] = rivals.toSorted((a, b) => a.loss - b.loss);
      if (single === undefined) throw error;
      return single.choice;
    }
  }
  const better = async (choice: readonly number[], kept: number): Promise<boolean> => {
    const fitting = await fits(choice, kept);
    if (fitting && lossOf(choice) < lossOf(best)) best = choice;
    return fitting;
  };
  // Room that was kept for what the choice does not share in the end is worth something.
  const shared = await sharedIn(best);
  if (shared < room) await better(await refilled(layers, best, less(shared), sharedIn, shared), shared);
  for (let i = 0; i < roomsTried && room > small + 8; i++) {
    const between = (small + room) / 2;
    if (await better(await chooseFormats(layers, less(between)), between)) room = between;
    else small = between;
  }
  return best;
}

/** The best choice of formats that bring no more to share than another one does. */
async function refilled(layers: readonly LayerOptions[], choice: readonly number[], budget: AllocationBudget, sharedIn: (choice: readonly number[]) => Promise<number>, shared: number): Promise<readonly number[]> {
  const free = new Set(choice.map((option, i) => layers[i].options[option].format));
  const looked = new Set(free);
  for (const [at, { options }] of layers.entries()) {
    for (const [option, { format }] of options.entries()) {
      if (looked.has(format)) continue;
      looked.add(format);
      if (await sharedIn(choice.with(at, option)) <= shared) free.add(format);
    }
  }
  const kept = layers.map(({ options }) => options.flatMap(({ format }, i) => (free.has(format) ? [i] : [])));
  const found = await chooseFormats(layers.map((layer, i) => ({ ...layer, options: kept[i].map((at) => layer.options[at]) })), budget);
  return found.map((option, i) => kept[i][option]);
}

const key = (id: string, { name }: Pick<NumberFormat, 'name'>): string => `${id} ${name}`;
const measuredOf = (together: ReadonlyMap<string, number>, choice: readonly number[]): { measured?: number } => {
  const measured = together.get(choice.join());
  return measured === undefined ? {} : { measured };
};

interface Losses {
  /** Undefined where the weights alone were looked at. */
  readonly distance: Distance | undefined;
  /** Measured in one format per layer, and as the error of the weights in the others. */
  readonly extrapolates: boolean;
  /** By weight id and format. */
  readonly values: ReadonlyMap<string, number>;
  /** How many of them were not known from an earlier run. */
  readonly measured: number;
  /** Of a choice for all layers at once. */
  together(choice: readonly number[], layers: readonly LayerOptions[]): Promise<number>;
  /** Keeps what was measured for later runs. */
  close(): Promise<void>;
}

/** What every site loses at every format. What an earlier run measured on the same network and data is taken from it. */
async function formatLosses(state: RecipeState, sites: readonly Linear[], candidates: { readonly all: readonly NumberFormat[]; of(site: Linear): readonly NumberFormat[] }, context: StepContext): Promise<Losses> {
  const { engine, threads, measurements, onLine, distance: asked = 'noise', trialWeights = mostTrialWeights } = context.options;
  const batches = state.batches ?? context.options.batches;
  const distance = batches === undefined ? undefined : asked;
  const before = context.recipe.steps.slice(0, context.recipe.steps.findIndex(({ step }) => step === 'allocate'));
  const all = sites.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
  // Losses go with the squared error of the weights (HIGGS, arXiv:2411.17525): one format per layer stands for all.
  const extrapolates = distance !== undefined && all * sites.length * candidates.all.length > trialWeights;
  const name = JSON.stringify(['losses of formats', before, distance ?? 'weights', most, extrapolates ? candidates.all.map((format) => format.name) : [], spelledSites(sites)]);
  const values = new Map(Object.entries(await measurements?.read(name) ?? {}));
  const known = values.size;
  const decoded = async (site: Linear, format: NumberFormat): Promise<{ matrix: Float32Array; error: number }> => {
    const matrix = await site.weightMatrix();
    const codes = encodeMatrix(format, matrix, site.rows, site.cols, { name: site.id, search: 'mse' });
    return { matrix: format.decode(codes), error: codes.squaredError / Math.max(sumOfSquares(matrix), Number.MIN_VALUE) };
  };
  let trials: Promise<WeightTrials> | undefined;
  const measure = async (replaced: ReadonlyMap<string, Float32Array>): Promise<number> => {
    trials ??= firstBatches(batches!(), most).then((few) => weightTrials(state.graph, engine, few, sites, distance!, threads));
    const found = await (await trials).measure(replaced);
    return Number.isFinite(found) ? found : ruined;
  };
  const keep = async (): Promise<void> => { if (values.size > known) await measurements?.write(name, Object.fromEntries(values)); };
  const close = async (): Promise<void> => {
    await (await trials)?.dispose();
    await keep();
  };
  const byId = new Map(sites.map((site) => [site.id, site]));
  try {
    for (const [at, site] of sites.entries()) {
      const missing = candidates.of(site).filter((format) => !values.has(key(site.id, format)) && format.refuses(site.rows, site.cols) === undefined);
      let perError: number | undefined;
      if (extrapolates && missing.length > 0) {
        const { matrix, error } = await decoded(site, missing[Math.floor(missing.length / 2)]);
        perError = error === 0 ? 0 : (await measure(new Map([[site.id, matrix]]))) / error;
      }
      for (const format of missing) {
        const { matrix, error } = await decoded(site, format);
        values.set(key(site.id, format), distance === undefined ? error : perError === undefined ? await measure(new Map([[site.id, matrix]])) : perError * error);
      }
      // A run that is interrupted has not measured in vain.
      if (missing.length > 0) await keep();
      if (missing.length > 0) onLine?.(`[${String(at + 1).padStart(4)}/${sites.length}] ${site.id} measured in ${extrapolates ? 'one format' : `${missing.length} formats`}`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    distance, extrapolates, values, measured: values.size - known, close,
    async together(choice, layers) {
      const formats = layers.map(({ options }, i) => options[choice[i]].format);
      const choiceKey = `together ${formats.join(' ')}`;
      if (!values.has(choiceKey)) {
        const replaced = new Map<string, Float32Array>();
        for (const [i, { id }] of layers.entries()) replaced.set(id, (await decoded(byId.get(id)!, parseFormat(formats[i]))).matrix);
        values.set(choiceKey, await measure(replaced));
      }
      return values.get(choiceKey)!;
    },
  };
}

/** What the names of sites stand for: the same name with another shape is another site. */
const spelledSites = (sites: readonly Linear[]): string[] => sites.map(({ id, rows, cols }) => `${id} ${rows}x${cols}`);

/** Formats' own bits, and nothing beside the layers. */
const ownStorage = (sites: readonly Linear[]): StorageCost => ({
  weights: sites.reduce((sum, { rows, cols }) => sum + rows * cols, 0),
  counted: 'codes, scales and zero points of the layers',
  bitsOf: async ({ rows, cols }, format) => rows * cols * format.bitsPerWeight(rows, cols),
  rest: async () => 0,
});

/** `int8/channel in 2 layers, int4/g32 in 20`. */
function spelled({ layers }: Allocation): string {
  const counts = new Map<string, number>();
  for (const { format } of layers) counts.set(format, (counts.get(format) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([format, count]) => `${format} in ${count}`).join(', ');
}
