/**
 * SmoothQuant (Xiao et al. 2022): activation outliers move into the weights, s_j = max|x_j|^α / max|w_j|^(1−α), the
 * division folded into what makes the activation. Sites with one input (q, k, v; gate, up) share one s. Scales of
 * AWQ fold the same way.
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { pow } from '../numeric/elementary.ts';
import { momentKey, type Moments } from '../observe/moments.ts';
import { channelOf, exclusiveReaders, scaleBetween } from './fold-scale.ts';

export interface Smoothed {
  readonly graph: Graph;
  /** Inputs that were smoothed, with the factors their readers were multiplied by. */
  readonly factors: ReadonlyMap<string, Float32Array>;
  /** Inputs whose source could not take the division. */
  readonly skipped: readonly string[];
}

/** Smooths every input of MatMul and Gemm sites that was observed; `alpha` of the difficulty moves into the weights. */
export async function smoothQuant(
  graph: Graph, moments: ReadonlyMap<string, Moments>, options: { readonly alpha?: number } = {},
): Promise<Smoothed> {
  const { alpha = 0.5 } = options;
  const factors = new Map<string, Float32Array>();
  for (const site of linearSites(graph)) {
    if ((site.kind !== 'MatMul' && site.kind !== 'Gemm') || factors.has(site.input)) continue;
    const seen = moments.get(momentKey(site));
    const readers = exclusiveReaders(graph, site.input);
    if (seen === undefined || readers === undefined) continue;
    const largest = new Float32Array(site.cols);
    for (const reader of readers) maxima(largest, await reader.weightMatrix(), reader);
    factors.set(site.input, Float32Array.from(largest, (w, j) => {
      const x = seen.maxAbsolute[j];
      return x > 0 && w > 0 ? Math.max(pow(x, alpha) / pow(w, 1 - alpha), 1e-5) : 1;
    }));
  }
  return foldFactors(graph, factors);
}

/** Multiplies the columns of all readers of each value and divides the value at its source, where the graph allows it. */
export async function foldFactors(graph: Graph, factors: ReadonlyMap<string, Float32Array>): Promise<Smoothed> {
  const done = new Map<string, Float32Array>();
  const skipped: string[] = [];
  let next = graph;
  for (const [value, scales] of factors) {
    const scaled = await scaleBetween(next, value, scales);
    if (scaled === undefined) skipped.push(value);
    else { next = scaled; done.set(value, scales); }
  }
  return { graph: next, factors: done, skipped };
}

/** Raises `largest` to the largest |w| of each input channel. */
export function maxima(largest: Float32Array, matrix: Float32Array, site: Linear): void {
  const taps = site.kernel.reduce((product, extent) => product * extent, 1);
  for (let i = 0; i < matrix.length; i++) {
    const channel = channelOf(site, taps, i);
    largest[channel] = Math.max(largest[channel], Math.abs(matrix[i]));
  }
}

