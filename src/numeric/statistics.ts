/** Summaries of float arrays. Sums run in float64 in index order. Empty input gives NaN unless said otherwise. */
import { log10 } from './elementary.ts';

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Smallest and largest value; NaN values are skipped. */
export function minMax(values: ArrayLike<number>): Range {
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    if (x < min) min = x;
    if (x > max) max = x;
  }
  return min <= max ? { min, max } : { min: NaN, max: NaN };
}

/** Largest magnitude of `values[begin, end)`; 0 when empty. NaN values are skipped. */
export function absMax(values: ArrayLike<number>, begin = 0, end = values.length): number {
  let max = 0;
  for (let i = begin; i < end; i++) {
    const x = Math.abs(values[i]);
    if (x > max) max = x;
  }
  return max;
}

/** Index of the first NaN or infinity, or −1. */
export function firstNonFinite(values: Float32Array): number {
  let taint = 0;
  for (let i = 0; i < values.length; i++) taint += values[i] - values[i];
  if (taint === 0) return -1;
  return values.findIndex((x) => !Number.isFinite(x));
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** The value in the middle; of an even count the larger of the two. */
export const median = (values: ArrayLike<number>): number => Float64Array.from(values).sort()[values.length >> 1] ?? NaN;

/** Population standard deviation (divides by n), in two passes. */
export function std(values: ArrayLike<number>): number {
  const center = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const d = values[i] - center;
    sum += d * d;
  }
  return Math.sqrt(sum / values.length);
}

/** The `p`-th percentile, p in [0, 100], interpolated linearly between the two nearest ranks. */
export function percentile(values: Float32Array, p: number): number {
  return percentileOfSorted(values.slice().sort(), p);
}

/** As `percentile`, for values already in ascending order. */
export function percentileOfSorted(sorted: ArrayLike<number>, p: number): number {
  if (sorted.length === 0) return NaN;
  const rank = (Math.min(100, Math.max(0, p)) / 100) * (sorted.length - 1);
  const below = Math.floor(rank);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (rank - below);
}

/** Counts per equal-width bin of [min, max]; the last bin includes max; values outside and NaN are not counted. */
export function histogram(values: ArrayLike<number>, bins: number, { min, max }: Range = minMax(values)): Float64Array {
  const counts = new Float64Array(bins);
  const width = max - min;
  for (let i = 0; i < values.length; i++) {
    const x = values[i];
    if (!(x >= min && x <= max)) continue;
    const bin = width > 0 ? Math.floor(((x - min) / width) * bins) : 0;
    counts[bin < bins ? bin : bins - 1]++;
  }
  return counts;
}

/** Σ (a − b)². */
export function squaredDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const d = a[i] - b[i];
    sum += d * d;
  }
  return sum;
}

/** Mean of (a − b)². */
export const meanSquaredError = (a: ArrayLike<number>, b: ArrayLike<number>): number => squaredDistance(a, b) / a.length;

/** Signal to quantization noise in decibels: 10·log10(Σ reference² / Σ (reference − value)²); infinite when equal. */
export function sqnr(reference: ArrayLike<number>, values: ArrayLike<number>): number {
  let signal = 0;
  for (let i = 0; i < reference.length; i++) signal += reference[i] * reference[i];
  return sqnrOf(signal, squaredDistance(reference, values));
}

/** Signal to noise in decibels from the two energies. */
export function sqnrOf(signal: number, noise: number): number {
  return noise === 0 ? Infinity : 10 * log10(signal / noise);
}

/** Cosine of the angle between two vectors; 1 when both are zero. */
export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  if (aa === 0 && bb === 0) return 1;
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb);
}

/** Ranks from 1, equal values sharing the mean of theirs. */
function ranks(values: readonly number[]): Float64Array {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const out = new Float64Array(values.length);
  for (let begin = 0; begin < order.length;) {
    let end = begin;
    while (end < order.length && values[order[end]] === values[order[begin]]) end++;
    for (let k = begin; k < end; k++) out[order[k]] = (begin + end + 1) / 2;
    begin = end;
  }
  return out;
}

/** Spearman's rank correlation; NaN where one side is constant. */
export function spearman(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const middle = (a.length + 1) / 2;
  return cosine(x.map((rank) => rank - middle), y.map((rank) => rank - middle));
}
