/** A list of measurements in a few numbers. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  /** Standard deviation of the mean, √(variance / count) with the unbiased variance; 0 for one value. */
  readonly standardError: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Percentile `q` in 0..1 with linear interpolation between neighbours (NumPy's default). `sorted` ascends. */
export function percentile(sorted: ArrayLike<number>, q: number): number {
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

export function summarize(values: ArrayLike<number>): Summary {
  const count = values.length;
  const sorted = Float64Array.from(values).sort();
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i];
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (values[i] - mean) ** 2;
  const standardError = count > 1 ? Math.sqrt(squares / (count - 1) / count) : 0;
  return {
    count, mean, standardError,
    median: percentile(sorted, 0.5), p90: percentile(sorted, 0.9), p99: percentile(sorted, 0.99), max: sorted[count - 1],
  };
}

/** Mean of `after − before` over pairs with its standard error: pairs cancel what both models find hard. */
export function pairedDifference(before: ArrayLike<number>, after: ArrayLike<number>): { readonly mean: number; readonly standardError: number; readonly count: number } {
  const { mean, standardError, count } = summarize(Float64Array.from(before, (value, i) => after[i] - value));
  return { mean, standardError, count };
}
