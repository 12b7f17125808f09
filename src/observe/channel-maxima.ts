/**
 * Largest magnitude of each channel of an activation, per sample, gathered over windows of an input that places samples
 * in time (the step of a diffusion sampler): the statistic of ViDiT-Q's channel balancing (arXiv:2406.02540).
 */
import { defineErrors } from '../errors.ts';
import type { Engine, Feeds } from '../engine/session.ts';
import { int, int64Tensor } from '../graph/build.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { siteLabel, type Linear } from '../graph/linear.ts';
import { withOutputs } from '../graph/outputs.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { noBatches, openGraph, type Batches } from './taps.ts';

/** Windows of an integer input, both ends included. */
export interface Windows { readonly input: string; readonly ranges: readonly (readonly [from: number, to: number])[] }

export interface MaximaOptions {
  /** Default one window that holds every sample. */
  readonly windows?: Windows;
  /**
   * Share of the old mean that stays as a batch comes (the paper's 0.95 over hundreds of batches). Default: the plain mean of
   * all samples, which does not depend on their order.
   */
  readonly momentum?: number;
}

const errors = defineErrors('maxima', {
  outside: (f: { input: string; value: number; known: string }) => [`${f.input} = ${f.value} lies in no window`, `windows: ${f.known}`],
  unseen: (f: { window: string }) => [`no sample lies in the window ${f.window}`, 'give samples from all of the sampler\'s steps'],
  kind: (f: { site: string }) => `${f.site}: channel maxima are observed of inputs of MatMul and Gemm`,
});

/** Index of the window that holds a value; a value outside of all is an error, not the last window. */
export function windowOf(value: number, { input, ranges }: Windows): number {
  const found = ranges.findIndex(([from, to]) => value >= from && value <= to);
  if (found < 0) throw errors.outside({ input, value, known: ranges.map(([from, to]) => `${from}–${to}`).join(', ') });
  return found;
}

/** The mean of what a batch shows, mixed into what earlier ones showed; the first is taken as it is. */
export const movingMean = (old: Float64Array | undefined, now: Float64Array, momentum: number): Float64Array =>
  (old === undefined ? now : old.map((value, i) => momentum * value + (1 - momentum) * now[i]));

interface Mean { readonly value: Float64Array | undefined; readonly count: number }

/** Per input value: one row of channel maxima per window. Samples are the first axis of the graph's first input. */
export async function observeChannelMaxima(graph: Graph, engine: Engine, batches: Batches, sites: readonly Linear[], options: MaximaOptions = {}): Promise<Map<string, Float32Array[]>> {
  const { windows, momentum } = options;
  const { graph: probed, outputs } = probe(graph, sites);
  const names = [...outputs.values()];
  const session = await openGraph(await withOutputs(probed, names), engine);
  const means = new Map([...outputs.keys()].map((value) => [value, Array.from({ length: windows?.ranges.length ?? 1 }, (): Mean => ({ value: undefined, count: 0 }))]));
  let seen = 0;
  try {
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = await session.run(feeds, names);
      const placed = windows === undefined ? undefined : Array.from(feeds[windows.input].data as ArrayLike<number | bigint>, (value) => windowOf(Number(value), windows));
      for (const [value, name] of outputs) {
        const { data, shape: [samples, channels] } = results[name];
        const list = means.get(value)!;
        list.forEach((old, window) => {
          const mine = Array.from({ length: samples }, (_, i) => i).filter((i) => placed === undefined || placed[i] === window);
          if (mine.length === 0) return;
          const now = new Float64Array(channels);
          for (const i of mine) for (let c = 0; c < channels; c++) now[c] += (data as Float32Array)[i * channels + c] / mine.length;
          const count = old.count + mine.length;
          list[window] = { value: movingMean(old.value, now, momentum ?? old.count / count), count };
        });
      }
      seen++;
    }
  } finally {
    await session.dispose();
  }
  if (seen === 0) throw noBatches({});
  return new Map([...means].map(([value, list]) => [value, list.map(({ value: found }, window) => {
    if (found === undefined) throw errors.unseen({ window: windows!.ranges[window].join('–') });
    return Float32Array.from(found);
  })]));
}

/** The graph with [samples, channels] maxima of every site's input computed in it. */
function probe(graph: Graph, sites: readonly Linear[]): { readonly graph: Graph; readonly outputs: Map<string, string> } {
  const fresh = freshNames(graph);
  const weights = new Map(graph.weights);
  const nodes: Node[] = [];
  const op = (type: string, inputs: readonly string[], attributes: Node['attributes'] = {}): string => {
    const output = fresh(`maxima_${type}`);
    nodes.push(makeNode(type, inputs, [output], { name: output, attributes }));
    return output;
  };
  const constant = (values: number[]): string => {
    const tensor = int64Tensor(fresh('maxima_constant'), values);
    weights.set(tensor.name, tensor);
    return tensor.name;
  };
  const samples = op('Shape', [graph.inputs[0].name], { start: int(0), end: int(1) });
  const axis = constant([1]);
  const outputs = new Map<string, string>();
  for (const site of sites) {
    if (site.kind !== 'MatMul' && site.kind !== 'Gemm') throw errors.kind({ site: siteLabel(site) });
    if (outputs.has(site.input)) continue;
    // Rows of one sample lie side by side: all of its tokens.
    const tokens = op('Reshape', [site.input, op('Concat', [samples, constant([-1, site.cols])], { axis: int(0) })]);
    outputs.set(site.input, op('ReduceMax', [op('Abs', [tokens]), axis], { keepdims: int(0) }));
  }
  return { graph: { ...graph, nodes: [...graph.nodes, ...nodes], weights }, outputs };
}

/**
 * How far channel maxima move between windows: the mean over channels of the largest over the smallest of the windows'
 * maxima, each window taken relative to its own median; 1 where nothing moves.
 */
export function maximaDrift(windows: readonly Float32Array[]): number {
  const relative = windows.map((row) => {
    const middle = row.slice().sort()[row.length >> 1] || 1;
    return row.map((value) => Math.max(value, 1e-5) / middle);
  });
  const [first] = relative;
  return first.reduce((sum, _, c) => sum + Math.max(...relative.map((row) => row[c])) / Math.min(...relative.map((row) => row[c])), 0) / first.length;
}

/** The largest channel maximum over the median one: what an outlier method has to work with. */
export function outlierRatio(maxima: Float32Array): number {
  const sorted = maxima.slice().sort();
  return sorted[sorted.length - 1] / (sorted[sorted.length >> 1] || 1e-5);
}
