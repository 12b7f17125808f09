/** Comparisons of output distributions. Logits come in any float array, all sums are float64. */

/** Natural log of softmax over `logits[offset .. offset + width)`. */
export function logSoftmax(logits: ArrayLike<number>, offset: number, width: number): Float64Array {
  let top = -Infinity;
  for (let i = 0; i < width; i++) if (logits[offset + i] > top) top = logits[offset + i];
  let sum = 0;
  for (let i = 0; i < width; i++) sum += Math.exp(logits[offset + i] - top);
  const shift = top + Math.log(sum);
  return Float64Array.from({ length: width }, (_, i) => logits[offset + i] - shift);
}

/** Whether the first row holds probabilities already (a model that ends in Softmax): non-negative and adding up to 1. */
export function areProbabilities(values: ArrayLike<number>, width: number): boolean {
  let sum = 0;
  for (let i = 0; i < width; i++) {
    if (values[i] < 0) return false;
    sum += values[i];
  }
  return Math.abs(sum - 1) < 1e-2;
}

/** Below this a probability is rounding noise; keeps logarithms finite. */
const smallest = 1e-12;

/** Natural log of a row of probabilities. */
export const logProbabilities = (values: ArrayLike<number>, offset: number, width: number): Float64Array =>
  Float64Array.from({ length: width }, (_, i) => Math.log(Math.max(values[offset + i], smallest)));

/** KL(reference ‖ other) in nats from two rows of log-probabilities; never below 0. */
export function klDivergence(reference: Float64Array, other: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < reference.length; i++) {
    const p = Math.exp(reference[i]);
    if (p > 0) sum += p * (reference[i] - other[i]);
  }
  return sum > 0 || Number.isNaN(sum) ? sum : 0;
}

/** Index of the largest value of a row; the lowest index among equals. */
export function argMax(values: ArrayLike<number>, offset = 0, width = values.length): number {
  let best = 0;
  for (let i = 1; i < width; i++) if (values[offset + i] > values[offset + best]) best = i;
  return best;
}

/** Whether `label` is among the `k` largest values of a row; equal values rank by index. */
export function inTopK(values: ArrayLike<number>, offset: number, width: number, label: number, k: number): boolean {
  if (label < 0 || label >= width) return false;
  const own = values[offset + label];
  let before = 0;
  for (let i = 0; i < width && before < k; i++) {
    const value = values[offset + i];
    if (value > own || (value === own && i < label)) before++;
  }
  return before < k && !Number.isNaN(own);
}

/** Root mean square change of the probability of the right token, as llama.cpp reports it (there in per cent). */
export function deltaPRms(before: ArrayLike<number>, after: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < before.length; i++) sum += (after[i] - before[i]) ** 2;
  return Math.sqrt(sum / before.length);
}

/** exp of the mean negative log-likelihood (nats per token). */
export function perplexity(nlls: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < nlls.length; i++) sum += nlls[i];
  return Math.exp(sum / nlls.length);
}
