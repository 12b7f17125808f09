/** Interprets the steps of a recipe on a graph: transforms it, observes what the steps need, and rounds its weights. */
import type { Engine, Feeds } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { takeRows } from '../observe/data/dataset.ts';
import { momentKey, observeMoments, type Moments } from '../observe/moments.ts';
import { observeRanges, type ObservedRange } from '../observe/ranges.ts';
import type { Batches } from '../observe/taps.ts';
import { awq } from '../round/awq.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { factorHessian, gptq, type HessianFactor } from '../round/gptq.ts';
import { hqq } from '../round/hqq.ts';
import { quantizedLazily, quantizedWhole, sumOfSquares, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import type { Matrix } from '../round/rounder.ts';
import { imageShape } from '../train/statistics-loss.ts';
import { biasShift, correctBias } from '../transform/bias-correction.ts';
import { equalizeLayers } from '../transform/cross-layer-equalization.ts';
import { foldBatchNorm } from '../transform/fold-batchnorm.ts';
import { exclusiveReaders } from '../transform/fold-scale.ts';
import { foldFactors, smoothQuant } from '../transform/smoothquant.ts';
import type { Recipe, Rounder, Step } from './recipe.ts';

export interface ApplyOptions {
  /** Format of each site's weight; undefined leaves it float. */
  formatOf(site: Linear): NumberFormat | undefined;
  readonly engine: Engine;
  /** Calibration feeds, started again for each pass; needed by recipes that need sample inputs. */
  readonly batches?: () => Batches;
  /** Values whose ranges `observe-ranges` finds, as names of the transformed graph. */
  activationValues?(graph: Graph): readonly string[] | Promise<readonly string[]>;
  /** Of what is random: data that are made, orders of samples. */
  readonly seed?: number;
  readonly threads?: number;
  /** Second moments held at a time, bytes; sites are observed in several passes beyond it. */
  readonly momentBytes?: number;
  onSite?(site: Linear, done: number, total: number): void;
  /** One line about what takes long. */
  onLine?(line: string): void;
}

export interface Applied {
  /** The float graph after the recipe's transforms. */
  readonly graph: Graph;
  /** By weight id. */
  readonly weights: ReadonlyMap<string, QuantizedMatrix>;
  readonly ranges: ReadonlyMap<string, ObservedRange>;
  /** Mean squared input per column by weight id, where inputs were observed. */
  readonly importance: ReadonlyMap<string, Float32Array>;
  /** The sample inputs that the recipe made for itself, if it did. */
  readonly batches?: () => Batches;
  /** Largest absolute value of each value of the graph on the calibration data, where half precision asked for it. */
  readonly extremes?: ReadonlyMap<string, number>;
}

const errors = defineErrors('recipe', {
  needsData: (f: { recipe: string; step: string }) => [`recipe ${f.recipe}: ${f.step} needs sample inputs`, 'give some with --data, or choose a recipe without data such as rtn or scale-search'],
});

/** Needs of each rounder: second moments, or moments per column. */
const needs: Readonly<Record<Rounder, 'nothing' | 'columns' | 'hessian'>> = {
  nearest: 'nothing', 'scale-search': 'nothing', hqq: 'nothing', importance: 'columns', gptq: 'hessian', awq: 'hessian',
};

/** Half a gigabyte of second moments: about eight inputs of 2816 columns. */
const defaultMomentBytes = 2 ** 29;

export async function applyRecipe(recipe: Recipe, float: Graph, options: ApplyOptions): Promise<Applied> {
  let graph = float;
  let weights: ReadonlyMap<string, QuantizedMatrix> = new Map();
  let ranges: ReadonlyMap<string, ObservedRange> = new Map();
  const importance = new Map<string, Float32Array>();
  let made: (() => Batches) | undefined;
  const batches = (step: string): (() => Batches) => {
    const found = made ?? options.batches;
    if (found === undefined) throw errors.needsData({ recipe: recipe.name, step });
    return found;
  };
  for (const step of recipe.steps) {
    switch (step.step) {
      case 'fold-batchnorm': graph = foldBatchNorm(graph); break;
      case 'distil': made = await distilled(graph, step, options); break;
      case 'reconstruct': weights = await reconstructed(graph, step, batches(step.step)(), options); break;
      case 'equalize': ({ graph } = await equalizeLayers(graph)); break;
      case 'smooth': {
        const moments = await observeMoments(graph, options.engine, batches(step.step)(), observable(linearSites(graph)), { hessian: false });
        ({ graph } = await smoothQuant(graph, moments, { alpha: step.alpha }));
        break;
      }
      case 'observe-ranges': {
        const values = await options.activationValues?.(graph) ?? [];
        if (values.length > 0) ranges = await observeRanges(graph, options.engine, batches(step.step)(), values, { method: step.method });
        break;
      }
      case 'round': {
        const rounded = await roundSites(graph, recipe, step.rounder, made === undefined ? options : { ...options, batches: made });
        ({ graph, weights } = rounded);
        for (const [id, meanSquare] of rounded.importance) importance.set(id, meanSquare);
        break;
      }
      case 'correct-bias': {
        const sites = observable(linearSites(graph)).filter((site) => weights.has(site.id));
        const moments = await observeMoments(graph, options.engine, batches(step.step)(), sites, { hessian: false });
        const shifts = new Map<string, Float64Array>();
        for (const site of sites) {
          const matrix = weights.get(site.id)!;
          const decoded = matrix.format.decode(await matrix.read(0, matrix.rows));
          shifts.set(site.output, biasShift(site, await site.weightMatrix(), decoded, moments.get(momentKey(site))!.mean));
        }
        graph = await correctBias(graph, shifts);
        break;
      }
    }
  }
  return { graph, weights, ranges, importance, ...(made === undefined ? {} : { batches: made }) };
}

/** Samples in one batch of data that were made. */
const distilledBatch = 32;

/** Images from the statistics that the float network stores, as batches that can be started again. */
async function distilled(graph: Graph, { from, count: wanted, iterations }: Extract<Step, { step: 'distil' }>, { engine, seed = 0, threads = 1, onLine }: ApplyOptions): Promise<() => Batches> {
  const shape = imageShape(graph);
  const [{ name, shape: declared }] = graph.inputs;
  const fixed = declared?.[0];
  const size = typeof fixed === 'number' ? fixed : Math.min(distilledBatch, wanted);
  const count = Math.max(wanted, size);
  // Training is imported where it is asked for: most recipes do without.
  const make = from === 'pixels' ? (await import('../train/batchnorm-data.ts')).distilImages : (await import('../train/generator-data.ts')).generateImages;
  const { images, losses } = await make(graph, shape, { engine, count, iterations, seed, threads });
  onLine?.(`${count} images of ${shape.join(' × ')} made in ${losses.length} steps: loss ${losses[0].toPrecision(3)} to ${losses.at(-1)!.toPrecision(3)}`);
  return () => Array.from({ length: Math.floor(count / size) }, (_, i): Feeds => ({ [name]: takeRows(images, Array.from({ length: size }, (_one, row) => i * size + row)) }));
}

/** Weights whose rounding is learned; lookups and other layers without a rule are rounded to nearest. */
async function reconstructed(graph: Graph, { unit, scales, drop, iterations, push }: Extract<Step, { step: 'reconstruct' }>, batches: Batches, options: ApplyOptions): Promise<Map<string, QuantizedMatrix>> {
  const { engine, seed = 0, threads = 1, formatOf, onSite, onLine } = options;
  const { reconstruct } = await import('../train/reconstruct.ts');
  const { weights } = await reconstruct(graph, batches, {
    engine, formatOf, unit, scales, drop, iterations, push, seed, threads,
    onBlock: ({ name, nearest, hard }, done, total) => onLine?.(`block ${done} of ${total}, ${name}: ${nearest.toPrecision(3)} to ${hard.toPrecision(3)}`),
  });
  const all = new Map(weights);
  const sites = linearSites(graph, { gather: true });
  for (const site of sites) {
    const format = formatOf(site);
    if (format !== undefined && !all.has(site.id)) all.set(site.id, quantizedLazily(site, format, { name: site.id, search: 'mse' }));
  }
  for (const [i, id] of [...all.keys()].entries()) onSite?.(sites.find((site) => site.id === id)!, i + 1, all.size);
  return all;
}

/** Sites whose inputs can be observed as rows of a matrix. */
const observable = (sites: readonly Linear[]): Linear[] => sites.filter((site) => site.kind !== 'Gather' && site.kind !== 'ConvTranspose');

/** Mean squared input of each column of every linear site, by weight id: what importance-weighted encoders take. */
export async function observeImportance(graph: Graph, engine: Engine, batches: Batches): Promise<Map<string, Float32Array>> {
  const sites = observable(linearSites(graph));
  const moments = await observeMoments(graph, engine, batches, sites, { hessian: false });
  return new Map(sites.map((site) => [site.id, moments.get(momentKey(site))!.meanSquare]));
}

interface Rounded { readonly graph: Graph; readonly weights: Map<string, QuantizedMatrix>; readonly importance: Map<string, Float32Array> }

async function roundSites(graph: Graph, recipe: Recipe, rounder: Rounder, options: ApplyOptions): Promise<Rounded> {
  const chosen = new Map<string, { site: Linear; format: NumberFormat }>();
  for (const site of linearSites(graph, { gather: true })) {
    const format = options.formatOf(site);
    // Tied weights are one matrix: the site that multiplies decides, not the lookup.
    if (format !== undefined && (!chosen.has(site.id) || site.kind !== 'Gather')) chosen.set(site.id, { site, format });
  }
  const weights = new Map<string, QuantizedMatrix>();
  const importance = new Map<string, Float32Array>();
  const work = [...chosen.values()];
  let done = 0;
  const finish = (site: Linear, matrix: QuantizedMatrix) => {
    weights.set(site.id, matrix);
    options.onSite?.(site, ++done, work.length);
  };
  const need = needs[rounder];
  if (need === 'nothing') {
    for (const { site, format } of work) {
      if (rounder === 'hqq') finish(site, wholly(format, await matrixOf(site), (matrix) => hqq(matrix, format)));
      else finish(site, quantizedLazily(site, format, { name: site.id, search: rounder === 'nearest' ? 'amax' : 'mse' }));
    }
    return { graph, weights, importance };
  }
  if (options.batches === undefined) throw errors.needsData({ recipe: recipe.name, step: rounder });
  const plain = work.filter(({ site }) => observable([site]).length === 0);
  for (const { site, format } of plain) finish(site, quantizedLazily(site, format, { name: site.id, search: 'mse' }));
  const factors = new Map<string, Float32Array>();
  for (const pass of passes(work.filter((item) => !plain.includes(item)), need, options.momentBytes ?? defaultMomentBytes)) {
    const moments = await observeMoments(graph, options.engine, options.batches(), pass.map(({ site }) => site), { hessian: need === 'hessian' });
    const factored = new Map<string, HessianFactor>();
    for (const [key, group] of groupBy(pass, ({ site }) => momentKey(site))) {
      const seen = moments.get(key)!;
      for (const { site } of group) importance.set(site.id, seen.meanSquare);
      if (rounder === 'awq' && (await findScales(graph, group, seen, factors))) continue;
      for (const { site, format } of group) {
        const matrix = await matrixOf(site);
        if (rounder === 'gptq') {
          let factor = factored.get(key);
          if (factor === undefined) factored.set(key, factor = factorHessian(seen.hessian!, site.cols));
          finish(site, wholly(format, matrix, () => gptq(matrix, format, seen, { factor, search: 'mse' })));
        } else {
          const encode = rounder === 'importance' ? { importance: seen.meanSquare } : {};
          finish(site, wholly(format, matrix, () => encodeMatrix(format, matrix.values, matrix.rows, matrix.cols, { name: site.id, search: 'mse', ...encode })));
        }
      }
    }
  }
  if (factors.size === 0) return { graph, weights, importance };
  // Folding one input's scales may rescale rows of an earlier layer: codes are made when all scales are in place.
  const { graph: folded } = await foldFactors(graph, factors);
  for (const site of linearSites(folded)) {
    const item = chosen.get(site.id);
    if (item !== undefined && !weights.has(site.id)) finish(site, quantizedLazily(site, item.format, { name: site.id, search: 'mse' }));
  }
  return { graph: folded, weights, importance };
}

/** AWQ's scales for the sites that share an input; false where they cannot be folded into what makes the input. */
async function findScales(
  graph: Graph, group: readonly { site: Linear; format: NumberFormat }[], seen: Moments, factors: Map<string, Float32Array>,
): Promise<boolean> {
  const [{ site: first, format }] = group;
  const readers = exclusiveReaders(graph, first.input);
  const alike = group.every((item) => item.format.name === format.name && item.site.groups === 1 && item.site.kernel.length === 0);
  if (!alike || readers === undefined || readers.length !== group.length) return false;
  const ones = new Map([[first.input, new Float32Array(first.cols).fill(1)]]);
  if ((await foldFactors(graph, ones)).skipped.length > 0) return false;
  const matrices = await Promise.all(group.map(({ site }) => matrixOf(site)));
  factors.set(first.input, awq(matrices, format, seen, { search: 'mse' }).channelScales);
  return true;
}

/** A matrix rounded at once, with what its error is measured against. */
const wholly = (format: NumberFormat, matrix: Matrix, round: (matrix: Matrix) => Quantized): QuantizedMatrix =>
  quantizedWhole(format, round(matrix), sumOfSquares(matrix.values));

const matrixOf = async (site: Linear): Promise<Matrix> => ({ values: await site.weightMatrix(), rows: site.rows, cols: site.cols, name: site.id });

/** Sites in order, cut where their second moments would exceed the budget. */
function* passes<T extends { site: Linear }>(work: readonly T[], need: 'columns' | 'hessian', budget: number): Generator<T[]> {
  if (need === 'columns') {
    if (work.length > 0) yield [...work];
    return;
  }
  let pass: T[] = [];
  let keys = new Set<string>();
  let bytes = 0;
  for (const item of work) {
    const key = momentKey(item.site);
    const more = keys.has(key) ? 0 : 12 * item.site.cols ** 2;
    if (pass.length > 0 && bytes + more > budget) {
      yield pass;
      [pass, keys, bytes] = [[], new Set(), 0];
    }
    pass.push(item);
    if (!keys.has(key)) { keys.add(key); bytes += 12 * item.site.cols ** 2; }
  }
  if (pass.length > 0) yield pass;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
