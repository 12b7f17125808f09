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

/** Extremes that `ema` averages are those of so many samples at least: single samples have narrower ones. */
const miniBatch = 8;

/** Ranges that follow from the extremes of each batch. */
async function ofExtremes(graph: Graph, engine: Engine, batches: Batches, names: readonly string[], method: 'minmax' | 'ema', momentum = 0.9): Promise<Map<string, ObservedRange>> {
  const ranges = new Map<string, ObservedRange>();
  let pending = new Map<string, ObservedRange>();
  let samples = 0;
  const settle = (): void => {
    for (const [name, now] of pending) {
      const old = ranges.get(name);
      const mixed = (before: number, after: number): number => momentum * before + (1 - momentum) * after;
      ranges.set(name, old === undefined ? now : { ...joined(old, now), ...(method === 'ema' ? { low: mixed(old.low, now.low), high: mixed(old.high, now.high) } : {}) });
    }
    pending = new Map();
    samples = 0;
  };
  const counted = async function* (): Batches & AsyncGenerator<Feeds> {
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      samples += Object.values(feeds)[0]?.shape[0] ?? 1;
      yield feeds;
    }
  };
  for await (const batch of batchExtremes(graph, engine, counted(), names)) {
    for (const [name, { min, max, mean, count }] of batch) {
      for (const value of [min, max, mean]) if (!Number.isFinite(value)) throw notFinite({ value, name });
      const now = { ...minmaxRange({ min, max }), min, max, count };
      const old = pending.get(name);
      pending.set(name, old === undefined ? now : joined(old, now));
    }
    if (samples >= miniBatch) settle();
  }
  // What is left over is no mini-batch, unless it is all there was.
  if (method === 'minmax' || ranges.size === 0) settle();
  else for (const [name, now] of pending) ranges.set(name, { ...ranges.get(name)!, min: Math.min(ranges.get(name)!.min, now.min), max: Math.max(ranges.get(name)!.max, now.max), count: ranges.get(name)!.count + now.count });
  return ranges;
}

/** Everything that two parts saw. */
const joined = (a: ObservedRange, b: ObservedRange): ObservedRange => ({
  low: Math.min(a.low, b.low), high: Math.max(a.high, b.high), min: Math.min(a.min, b.min), max: Math.max(a.max, b.max), count: a.count + b.count,
});

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
