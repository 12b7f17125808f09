/**
 * What steps keep for later runs: moments of inputs, layers that were rounded, ranges. A name holds all that the kept thing
 * depends on beside the model and its data: the network that was looked at, the sites together, formats. What is read back
 * equals what would be measured again, bit for bit.
 */
import { packArrays, unpackArrays, type PackedArray } from '../files/arrays.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { momentKey, observeMoments, type MomentOptions, type Moments } from '../observe/moments.ts';
import type { ObservedRange } from '../observe/ranges.ts';
import { packQuantized, unpackQuantized } from '../round/quantized-arrays.ts';
import { quantizedWhole, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import type { KeptBlocks } from '../train/reconstruct.ts';
import type { Step } from './recipe.ts';
import type { Measurements, RecipeState, StepContext } from './state.ts';

/** Where no bytes are kept, statistics are not either: such a cache outlives versions and settings of the engine, and holds sensitivities alone. */
const ofRuns = (measurements: Measurements | undefined): Measurements | undefined => (measurements?.large === undefined ? undefined : measurements);

/** Moments beyond this are not kept: they are read slower than they are worth. */
const mostMomentBytes = 2 ** 28;

/** Steps after which the network computes what it did, in float, on the same samples. */
const leaveNetwork: ReadonlySet<Step['step']> = new Set(['allocate', 'allocate-palette', 'allocate-by-trace', 'allocate-decoupled', 'observe-ranges', 'reconstruct', 'protect', 'integer-only', 'search-splits', 'before-gelu']);
/** Steps that change it alike whatever the formats are. */
const ignoreFormats: ReadonlySet<Step['step']> = new Set(['fold-batchnorm', 'equalize', 'smooth', 'rotate', 'choose-samples', 'distil']);

/** The network that a step of the recipe looks at. */
export function networkName(state: RecipeState, { recipe, options, float, ...context }: StepContext, before: Step['step']): string {
  if (state.graph === float && state.batches === undefined) return 'as it was read';
  const steps = recipe.steps.slice(0, recipe.steps.findIndex(({ step }) => step === before))
    .filter((one) => !leaveNetwork.has(one.step) && !(one.step === 'round' && one.rounder !== 'awq'));
  const formats = steps.every(({ step }) => ignoreFormats.has(step)) ? [] : [...linearSites(float).map((site) => [site.id, options.formatOf(site)?.name, context.activationOf(state, site)?.name]), ...[...state.formats].map(([id, { name }]) => [id, name])];
  return JSON.stringify([steps, formats, options.seed ?? 0, options.threads ?? 1]);
}

const vectors = ['mean', 'meanAbsolute', 'meanSquare', 'maxAbsolute', 'hessian'] as const;

/** Moments of the inputs of sites: those of an earlier run, where it kept them. */
export async function keptMoments(state: RecipeState, context: StepContext, step: Step['step'], sites: readonly Linear[], { hessian = true }: MomentOptions, batches: Parameters<typeof observeMoments>[2]): Promise<ReadonlyMap<string, Moments>> {
  const { engine, measurements } = context.options;
  const keys = [...new Map(sites.map((site) => [momentKey(site), site]))];
  const bytes = keys.reduce((sum, [, { cols, groups }]) => sum + 8 * groups * cols + (hessian ? 8 * cols ** 2 : 0), 0);
  const large = bytes > mostMomentBytes ? undefined : measurements?.large;
  const name = JSON.stringify(['moments', hessian, networkName(state, context, step), keys.map(([key]) => key)]);
  const known = await large?.read(name);
  if (known !== undefined) return readMoments(known, keys.map(([key]) => key));
  const seen = await observeMoments(state.graph, engine, batches, sites, { hessian });
  await large?.write(name, await packArrays({
    arrays: new Map(keys.flatMap(([key], i) => vectors.flatMap((vector) => { const values = seen.get(key)![vector]; return values === undefined ? [] : [[`${i} ${vector}`, values] as const]; }))),
    words: new Map(keys.map(([key], i) => [`${i}`, String(seen.get(key)!.count)])),
  }));
  return seen;
}

async function readMoments(bytes: Uint8Array, keys: readonly string[]): Promise<Map<string, Moments>> {
  const { arrays, words } = await unpackArrays(bytes);
  return new Map(keys.map((key, i) => [key, { count: Number(words.get(`${i}`)), ...Object.fromEntries(vectors.flatMap((vector) => (arrays.has(`${i} ${vector}`) ? [[vector, arrays.get(`${i} ${vector}`)]] : []))) } as unknown as Moments]));
}

/** Ranges of values by name: those of an earlier run, where it kept them. */
export async function keptRanges(state: RecipeState, context: StepContext, how: string, values: readonly string[], observe: () => Promise<ReadonlyMap<string, ObservedRange>>): Promise<ReadonlyMap<string, ObservedRange>> {
  const measurements = ofRuns(context.options.measurements);
  const name = JSON.stringify(['ranges', how, networkName(state, context, 'observe-ranges'), values]);
  const known = await measurements?.read(name);
  const parts = ['low', 'high', 'min', 'max', 'count'] as const;
  if (known !== undefined) return new Map(values.map((value) => [value, Object.fromEntries(parts.map((part) => [part, known[`${value} ${part}`]])) as unknown as ObservedRange]));
  const found = await observe();
  await measurements?.write(name, Object.fromEntries([...found].flatMap(([value, range]) => parts.map((part) => [`${value} ${part}`, range[part]]))));
  return found;
}

/** Figures by name: those of an earlier run, where it kept them. Infinite ones are not kept. */
export async function keptFigures(measurements: Measurements | undefined, name: string, measure: () => Promise<ReadonlyMap<string, number>>): Promise<ReadonlyMap<string, number>> {
  const known = await ofRuns(measurements)?.read(name);
  if (known !== undefined) return new Map(Object.entries(known));
  const found = await measure();
  if ([...found.values()].every(Number.isFinite)) await ofRuns(measurements)?.write(name, Object.fromEntries(found));
  return found;
}

/** A measure of things that follow from each other: what the n-th was found to be, in a run that was the same so far, it is again. */
export function keptInOrder<T extends object>(measurements: Measurements | undefined, name: string, measure: (of: T) => Promise<number>): (of: T) => Promise<number> {
  const known = new WeakMap<T, Promise<number>>();
  let figures: Promise<Record<string, number>> | undefined;
  let count = 0;
  const next = async (of: T, at: number): Promise<number> => {
    const all = await (figures ??= (async () => ({ ...await ofRuns(measurements)?.read(name) }))());
    if (all[at] !== undefined) return all[at];
    const found = await measure(of);
    if (Number.isFinite(found)) {
      all[at] = found;
      await ofRuns(measurements)?.write(name, all);
    }
    return found;
  };
  return (of) => {
    const found = known.get(of) ?? next(of, count++);
    known.set(of, found);
    return found;
  };
}

/** Vectors by name: those of an earlier run, where it kept them. */
export async function keptVectors(measurements: Measurements | undefined, name: string, measure: () => Promise<ReadonlyMap<string, Float32Array>>): Promise<ReadonlyMap<string, Float32Array>> {
  const large = measurements?.large;
  const known = await large?.read(name);
  if (known !== undefined) return (await unpackArrays(known)).arrays as ReadonlyMap<string, Float32Array>;
  const found = await measure();
  await large?.write(name, await packArrays({ arrays: found, words: new Map() }));
  return found;
}

/** Layers that rounders made of the moments of sites which were observed together. */
export interface KeptLayers {
  read(site: Linear, format: NumberFormat): Promise<{ readonly matrix: QuantizedMatrix; readonly meanSquare: Float32Array } | undefined>;
  write(site: Linear, format: NumberFormat, matrix: QuantizedMatrix, meanSquare: Float32Array): Promise<void>;
  /** Vectors that were found for an input. */
  vector(input: string, formats: readonly NumberFormat[], find: () => Promise<Float32Array>): Promise<Float32Array>;
}

export function keptLayers(state: RecipeState, context: StepContext, rounder: string, together: readonly Linear[]): KeptLayers {
  const large = context.options.measurements?.large;
  const common = [rounder, networkName(state, context, 'round'), [...new Set(together.map(momentKey))]];
  const nameOf = ({ id, rows, cols }: Linear, format: NumberFormat): string => JSON.stringify(['layer', ...common, id, rows, cols, format.name]);
  return {
    async read(site, format) {
      const bytes = await large?.read(nameOf(site, format));
      if (bytes === undefined) return undefined;
      const { matrix, beside } = await unpackQuantized(format, bytes);
      return { matrix, meanSquare: beside.meanSquare as Float32Array };
    },
    async write(site, format, matrix, meanSquare) {
      if (large !== undefined) await large.write(nameOf(site, format), await packQuantized(matrix, { meanSquare }));
    },
    async vector(input, formats, find) {
      const name = JSON.stringify(['vector', ...common, input, formats.map((format) => format.name)]);
      const known = await large?.read(name);
      if (known !== undefined) return (await unpackArrays(known)).arrays.get('values') as Float32Array;
      const values = await find();
      await large?.write(name, await packArrays({ arrays: new Map<string, PackedArray>([['values', values]]), words: new Map() }));
      return values;
    },
  };
}

const figuresOfBlock = ['nearest', 'soft', 'hard', 'undecided'] as const;

/** Layers whose rounding was learned, block by block. What a block learns depends on those before it, and so on the formats of all. */
export function keptBlocks(state: RecipeState, context: StepContext, settings: object): { readonly kept?: KeptBlocks } {
  const large = context.options.measurements?.large;
  if (large === undefined) return {};
  const formats = linearSites(state.graph, { gather: true }).map((site) => [site.id, context.formatOf(state, site)?.name]);
  const nameOf = (place: number, id: string): string => JSON.stringify(['learned', settings, networkName(state, context, 'reconstruct'), formats, place, id]);
  return {
    kept: {
      async read(place, learned) {
        const codes = new Map<string, Quantized>();
        let figures: PackedArray | undefined;
        for (const [id, { site, format }] of learned) {
          const bytes = await large.read(nameOf(place, id));
          if (bytes === undefined) return undefined;
          const { matrix, beside } = await unpackQuantized(format, bytes);
          codes.set(id, await matrix.read(0, site.rows));
          figures = beside.figures;
        }
        return figures === undefined ? undefined : { codes, result: Object.fromEntries(figuresOfBlock.map((figure, i) => [figure, figures[i]])) as Record<(typeof figuresOfBlock)[number], number> };
      },
      async write(place, learned, { codes, result }) {
        for (const [id, { format }] of learned) await large.write(nameOf(place, id), await packQuantized(quantizedWhole(format, codes.get(id)!), { figures: Float64Array.from(figuresOfBlock, (figure) => result[figure]) }));
      },
    },
  };
}
