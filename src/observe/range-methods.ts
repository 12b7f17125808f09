/** How the range of an activation follows from what was seen of it. */
import { log } from '../numeric/elementary.ts';
import { rne } from '../numeric/rounding.ts';
import type { Histogram } from './histogram.ts';

/** Real numbers [low, high] that codes will span; always holds zero. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

const withZero = (low: number, high: number): Range => ({ low: Math.min(0, low), high: Math.max(0, high) });
const within = (h: Histogram, low: number, high: number): Range => withZero(Math.max(low, h.min), Math.min(high, h.max));

/** The extremes themselves. */
export const minmaxRange = (h: Pick<Histogram, 'min' | 'max'>): Range => withZero(h.min, h.max);

/** Leaves out (100 − percent)/2 percent of the values at each end, to the width of a bin. */
export function percentileRange(h: Histogram, percent = 99.99): Range {
  const cut = (h.count * (100 - percent)) / 200;
  let first = 0, last = h.bins.length - 1;
  for (let seen = h.bins[first]; seen <= cut && first < last; seen += h.bins[first]) first++;
  for (let seen = h.bins[last]; seen <= cut && last > first; seen += h.bins[last]) last--;
  return within(h, h.center(first) - h.binWidth / 2, h.center(last) + h.binWidth / 2);
}

/** The range, both ends shrunk alike, whose rounding to `levels` steps has the least squared error. */
export function mseRange(h: Histogram, levels = 255): Range {
  const full = minmaxRange(h);
  let best = full, least = Infinity;
  for (let share = 100; share >= 20; share--) {
    const low = (full.low * share) / 100, high = (full.high * share) / 100;
    const step = (high - low) / levels;
    if (!(step > 0)) break;
    let error = 0;
    for (let i = 0; i < h.bins.length; i++) {
      if (h.bins[i] === 0) continue;
      const x = h.center(i);
      const clipped = x < low ? low : x > high ? high : x;
      const d = x - (low + step * rne((clipped - low) / step));
      error += h.bins[i] * d * d;
    }
    if (error < least) { least = error; best = { low, high }; }
  }
  return best;
}

/**
 * The threshold on |x| with the least Kullback–Leibler divergence between the clipped distribution and its 128-level
 * (one-sided: 256-level) rounding (Migacz 2017, "8-bit inference with TensorRT").
 */
export function entropyRange(h: Histogram): Range {
  const full = minmaxRange(h);
  const magnitudes = new Float64Array(h.bins.length / 2);
  for (let i = 0; i < magnitudes.length; i++) magnitudes[i] = h.bins[h.bins.length / 2 + i] + h.bins[h.bins.length / 2 - 1 - i];
  let used = magnitudes.length;
  while (used > 1 && magnitudes[used - 1] === 0) used--;
  const levels = h.min >= 0 ? 256 : 128;
  // A network often emits exact zeros (ReLU); they cost nothing at any threshold and would drown the rest.
  magnitudes[0] = magnitudes[1];
  let best = used, least = Infinity;
  for (let kept = levels; kept <= used; kept += Math.max(1, Math.floor(used / 256))) {
    const divergence = clippedDivergence(magnitudes, used, kept, levels);
    if (divergence < least) { least = divergence; best = kept; }
  }
  const threshold = best * h.binWidth;
  return best === used ? full : within(h, -threshold, threshold);
}

function clippedDivergence(bins: Float64Array, used: number, kept: number, levels: number): number {
  let outliers = 0, total = 0;
  for (let i = 0; i < used; i++) total += bins[i];
  for (let i = kept; i < used; i++) outliers += bins[i];
  if (total === 0) return 0;
  let divergence = 0, coveredQ = 0;
  for (let i = 0; i < kept; i++) coveredQ += bins[i];
  if (coveredQ === 0) return Infinity;
  for (let level = 0; level < levels; level++) {
    const begin = Math.floor((level * kept) / levels), end = Math.floor(((level + 1) * kept) / levels);
    let sum = 0, filled = 0;
    for (let i = begin; i < end; i++) if (bins[i] > 0) { sum += bins[i]; filled++; }
    for (let i = begin; i < end; i++) {
      const p = (bins[i] + (i === kept - 1 ? outliers : 0)) / total;
      if (p === 0) continue;
      const q = bins[i] > 0 ? sum / filled / coveredQ : 0;
      // A bin that only outliers fill has no counterpart; a floor keeps the divergence finite and large.
      divergence += p * log(p / Math.max(q, 1e-12));
    }
  }
  return divergence;
}
