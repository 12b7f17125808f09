/** Ranges of activations on data: one run over the batches, one histogram per value, no activation is kept. */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { Histogram } from './histogram.ts';
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
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const inner = [...new Set(values)].filter((name) => !inputs.has(name));
  const session = await openGraph(await withOutputs(graph, inner), engine);
  const watchers = new Map([...new Set(values)].map((name) => [name, new Watcher(name, options)]));
  try {
    let seen = 0;
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = inner.length === 0 ? {} : await session.run(feeds, inner);
      for (const [name, watcher] of watchers) watcher.add(floatsOf(name, results[name] ?? feeds[name]));
      seen++;
    }
    if (seen === 0) throw noBatches({});
  } finally {
    await session.dispose();
  }
  return new Map([...watchers].map(([name, watcher]) => [name, watcher.range()]));
}

/** One value as it streams by. */
class Watcher {
  readonly #histogram: Histogram;
  readonly #options: RangeOptions;
  #average: Range | undefined;

  constructor(name: string, options: RangeOptions) {
    this.#histogram = new Histogram(name);
    this.#options = options;
  }

  add(values: ArrayLike<number>): void {
    this.#histogram.add(values);
    if (this.#options.method !== 'ema') return;
    let low = 0, high = 0;
    for (let i = 0; i < values.length; i++) {
      if (values[i] < low) low = values[i];
      if (values[i] > high) high = values[i];
    }
    const { momentum = 0.9 } = this.#options;
    this.#average = this.#average === undefined ? { low, high } : {
      low: momentum * this.#average.low + (1 - momentum) * low,
      high: momentum * this.#average.high + (1 - momentum) * high,
    };
  }

  range(): ObservedRange {
    const h = this.#histogram;
    const { min, max, count } = h;
    return { ...this.#range(), min, max, count };
  }

  #range(): Range {
    const h = this.#histogram;
    switch (this.#options.method ?? 'minmax') {
      case 'minmax': return minmaxRange(h);
      case 'ema': return this.#average!;
      case 'percentile': return percentileRange(h, this.#options.percent);
      case 'entropy': return entropyRange(h);
      case 'mse': return mseRange(h, this.#options.levels);
    }
  }
}
