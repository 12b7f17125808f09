/** Ranges of activations on data: one run over the batches, extremes or one histogram per value, no activation is kept. */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { batchExtremes } from './batch-extremes.ts';
import { Histogram, notFinite } from './histogram.ts';
import { entropyRange, minmaxRange, mseRange, percentileRange, type Range } from './range-methods.ts';
import { floatsOf, noBatches, openGraph, type Batches } from './taps.ts';

export type RangeMethod = 'minmax' | 'ema' | 'percentile' | 'entropy' | 'mse';

export interface RangeOptions {
  readonly method?: RangeMethod;
  /** Share of the old extremes kept at each batch by `ema`. Default 0.9. */
  readonly momentum?: number;
  /** Percent of values kept by `percentile`. Default 99.99. */
  readonly percent?: number;
  /** Steps of the integer that `mse` assumes. Default 255. */
  readonly levels?: number;
}

export interface ObservedRange extends Range {
  /** Extremes that were seen, whatever the method. */
  readonly min: number;
  readonly max: number;
  /** Values that were seen. */
  readonly count: number;
}

/** Range of each named value (graph inputs included) over all batches; default method `minmax`. */
export async function observeRanges(
  graph: Graph, engine: Engine, batches: Batches, values: readonly string[], options: RangeOptions = {},
): Promise<Map<string, ObservedRange>> {
  const names = [...new Set(values)];
  const { method = 'minmax' } = options;
  return method === 'minmax' || method === 'ema' ? ofExtremes(graph, engine, batches, names, method, options.momentum) : ofHistograms(graph, engine, batches, names, { ...options, method });
}

/** Ranges that follow from the extremes of each batch. */
async function ofExtremes(graph: Graph, engine: Engine, batches: Batches, names: readonly string[], method: 'minmax' | 'ema', momentum = 0.9): Promise<Map<string, ObservedRange>> {
  const ranges = new Map<string, ObservedRange>();
  for await (const batch of batchExtremes(graph, engine, batches, names)) {
    for (const [name, { min, max, mean, count }] of batch) {
      for (const value of [min, max, mean]) if (!Number.isFinite(value)) throw notFinite({ value, name });
      const { low, high } = minmaxRange({ min, max });
      const old = ranges.get(name);
      const mixed = (before: number, now: number): number => momentum * before + (1 - momentum) * now;
      ranges.set(name, old === undefined ? { low, high, min, max, count } : {
        low: method === 'ema' ? mixed(old.low, low) : Math.min(old.low, low), high: method === 'ema' ? mixed(old.high, high) : Math.max(old.high, high),
        min: Math.min(old.min, min), max: Math.max(old.max, max), count: old.count + count,
      });
    }
  }
  return ranges;
}

/** Ranges that need to know how the values are spread: every value comes out of the session. */
async function ofHistograms(graph: Graph, engine: Engine, batches: Batches, names: readonly string[], options: RangeOptions): Promise<Map<string, ObservedRange>> {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const inner = names.filter((name) => !inputs.has(name));
  const session = await openGraph(await withOutputs(graph, inner), engine);
  const histograms = names.map((name) => new Histogram(name));
  try {
    let seen = 0;
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = inner.length === 0 ? {} : await session.run(feeds, inner);
      for (const histogram of histograms) histogram.add(floatsOf(histogram.name, results[histogram.name] ?? feeds[histogram.name]));
      seen++;
    }
    if (seen === 0) throw noBatches({});
  } finally {
    await session.dispose();
  }
  return new Map(histograms.map((histogram) => {
    const { name, min, max, count } = histogram;
    return [name, { ...rangeOf(histogram, options), min, max, count }];
  }));
}

function rangeOf(histogram: Histogram, { method, percent, levels }: RangeOptions): Range {
  switch (method) {
    case 'percentile': return percentileRange(histogram, percent);
    case 'entropy': return entropyRange(histogram);
    case 'mse': return mseRange(histogram, levels);
    default: return minmaxRange(histogram);
  }
}
