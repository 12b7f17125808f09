/** Weights become codes: to nearest, with searched scales, or with the help of moments of the inputs. */
import { isBlockFormat } from '../../formats/column-blocks.ts';
import type { NumberFormat, Quantized } from '../../formats/format.ts';
import { isRotated } from '../../formats/rotated.ts';
import type { Graph } from '../../graph/graph.ts';
import { linearSites, type Linear } from '../../graph/linear.ts';
import { momentKey, observable, type Moments } from '../../observe/moments.ts';
import { awq } from '../../round/awq.ts';
import { encodeMatrix } from '../../round/encode-matrix.ts';
import { factorHessian, gptq, type HessianFactor } from '../../round/gptq.ts';
import { hqq } from '../../round/hqq.ts';
import { factorForLdlq, ldlq } from '../../round/ldlq.ts';
import { quantizedLazily, quantizedWhole, sumOfSquares, type QuantizedMatrix } from '../../round/quantized-matrix.ts';
import type { Matrix } from '../../round/rounder.ts';
import { exclusiveReaders } from '../../transform/fold-scale.ts';
import { foldFactors } from '../../transform/smoothquant.ts';
import { keptLayers, keptMoments, type KeptLayers } from '../kept.ts';
import type { Rounder } from '../recipe.ts';
import type { StepRunner } from '../state.ts';

/** Needs of each rounder: second moments, or moments per column. */
const needs: Readonly<Record<Rounder, 'nothing' | 'columns' | 'hessian'>> = {
  nearest: 'nothing', 'scale-search': 'nothing', hqq: 'nothing', importance: 'columns', gptq: 'hessian', ldlq: 'hessian', awq: 'hessian',
};

/** Half a gigabyte of second moments: about eight inputs of 2816 columns. */
const defaultMomentBytes = 2 ** 29;

export const round: StepRunner<'round'> = async (state, { rounder }, context) => {
  const { graph } = state;
  const { options } = context;
  const chosen = new Map<string, { site: Linear; format: NumberFormat }>();
  for (const site of linearSites(graph, { gather: true })) {
    const format = context.formatOf(state, site);
    // Tied weights are one matrix: the site that multiplies decides, not the lookup.
    if (format !== undefined && (!chosen.has(site.id) || site.kind !== 'Gather')) chosen.set(site.id, { site, format });
  }
  const weights = new Map<string, QuantizedMatrix>();
  const importance = new Map(state.importance);
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
    return { ...state, weights, importance };
  }
  const batches = context.batches(state, rounder);
  const plain = work.filter(({ site }) => observable([site]).length === 0);
  for (const { site, format } of plain) finish(site, quantizedLazily(site, format, { name: site.id, search: 'mse' }));
  const factors = new Map<string, Float32Array>();
  for (const pass of passes(work.filter((item) => !plain.includes(item)), need, options.momentBytes ?? defaultMomentBytes)) {
    const sites = pass.map(({ site }) => site);
    const layers = keptLayers(state, context, rounder, sites);
    const kept = new Map<string, NonNullable<Awaited<ReturnType<typeof layers.read>>>>();
    for (const { site, format } of pass) {
      const layer = await layers.read(site, format);
      if (layer !== undefined) kept.set(site.id, layer);
    }
    // Sites that are observed together stay so, whatever is known of some: what one session sees, another may see in other last bits.
    const moments = kept.size === pass.length ? undefined : await keptMoments(state, context, 'round', sites, { hessian: need === 'hessian' }, batches());
    const factored = new Map<string, HessianFactor>();
    for (const [key, group] of groupBy(pass, ({ site }) => momentKey(site))) {
      if (rounder === 'awq' && moments !== undefined && (await findScales(graph, group, moments.get(key)!, layers, factors))) {
        for (const { site } of group) importance.set(site.id, moments.get(key)!.meanSquare);
        continue;
      }
      for (const { site, format } of group) {
        const known = kept.get(site.id);
        if (known !== undefined) {
          importance.set(site.id, known.meanSquare);
          finish(site, known.matrix);
          continue;
        }
        const seen = moments!.get(key)!;
        importance.set(site.id, seen.meanSquare);
        const matrix = await matrixOf(site);
        const made = async (codes: QuantizedMatrix): Promise<void> => {
          await layers.write(site, format, codes, seen.meanSquare);
          finish(site, codes);
        };
        if (rounder === 'gptq' && !isBlockFormat(format) && !isRotated(format)) {
          let factor = factored.get(key);
          if (factor === undefined) factored.set(key, factor = factorHessian(seen.hessian!, site.cols));
          await made(wholly(format, matrix, () => gptq(matrix, format, seen, { factor, search: 'mse' })));
        } else if (rounder === 'gptq' || rounder === 'ldlq') {
          // Codes that stand for many weights at once take the same feedback from block to block.
          const turned = `${key} ${isRotated(format)}`;
          const factor = factored.get(turned) ?? factorForLdlq(seen.hessian!, site.cols, format);
          factored.set(turned, factor);
          await made(wholly(format, matrix, () => ldlq(matrix, format, seen, { factor })));
        } else {
          const encode = rounder === 'importance' ? { importance: seen.meanSquare } : {};
          await made(wholly(format, matrix, () => encodeMatrix(format, matrix.values, matrix.rows, matrix.cols, { name: site.id, search: 'mse', ...encode })));
        }
      }
    }
  }
  if (factors.size === 0) return { ...state, weights, importance };
  // Folding one input's scales may rescale rows of an earlier layer: codes are made when all scales are in place.
  const { graph: folded } = await foldFactors(graph, factors);
  for (const site of linearSites(folded)) {
    const item = chosen.get(site.id);
    if (item !== undefined && !weights.has(site.id)) finish(site, quantizedLazily(site, item.format, { name: site.id, search: 'mse' }));
  }
  return { ...state, graph: folded, weights, importance };
};

/** AWQ's scales for the sites that share an input; false where they cannot be folded into what makes the input. */
async function findScales(
  graph: Graph, group: readonly { site: Linear; format: NumberFormat }[], seen: Moments, layers: KeptLayers, factors: Map<string, Float32Array>,
): Promise<boolean> {
  const [{ site: first, format }] = group;
  const readers = exclusiveReaders(graph, first.input);
  const alike = group.every((item) => item.format.name === format.name && item.site.groups === 1 && item.site.kernel.length === 0);
  if (!alike || readers === undefined || readers.length !== group.length) return false;
  const ones = new Map([[first.input, new Float32Array(first.cols).fill(1)]]);
  if ((await foldFactors(graph, ones)).skipped.length > 0) return false;
  factors.set(first.input, await layers.vector(first.input, group.map((item) => item.format), async () => awq(await Promise.all(group.map(({ site }) => matrixOf(site))), format, seen, { search: 'mse' }).channelScales));
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
