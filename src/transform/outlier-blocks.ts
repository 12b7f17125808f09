/**
 * Which blocks of an input take more bits (COMET's fine-grained mixed precision, arXiv:2410.12168): channels much larger
 * than the rest, put together so that few blocks hold them. A block has one width for all tokens, so that a product
 * never changes it within a tile.
 */

/** What makes a channel an outlier: so many times the median of the largest magnitudes. */
export const outlierRatio = 6;

/** Channels by rank of their largest magnitude, whether each is more than `outlierRatio` times the median. */
export function outlierChannels(maxima: ArrayLike<number>): boolean[] {
  const sorted = Float64Array.from(maxima).sort();
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return Array.from(maxima, (a) => a > outlierRatio * median);
}

/** Blocks that hold an outlier, of channels as they lie in `order`. */
export function outlierBlocks(outliers: readonly boolean[], order: ArrayLike<number>, size: number): number[] {
  const found = new Set<number>();
  for (let place = 0; place < order.length; place++) if (outliers[order[place]]) found.add(Math.floor(place / size));
  return [...found].sort((a, b) => a - b);
}

/** The so many blocks with the largest magnitudes, ascending. */
export function largestBlocks(maxima: ArrayLike<number>, order: ArrayLike<number>, size: number, count: number): number[] {
  const tops = new Float64Array(Math.ceil(order.length / size));
  for (let place = 0; place < order.length; place++) {
    const block = Math.floor(place / size);
    tops[block] = Math.max(tops[block], maxima[order[place]]);
  }
  return [...tops.keys()].sort((a, b) => tops[b] - tops[a] || a - b).slice(0, count).sort((a, b) => a - b);
}
