/** Values of a few weights and the levels that their codes can take, for the report's pictures. */
import type { Linear } from '../graph/linear.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import type { WeightHistogram } from './result.ts';

/** Rows that are looked at; a picture needs no more. */
const rowsShown = 64;
const bins = 80;

/** The three matrices with the largest relative error, or the first three where errors are unknown. */
export async function histograms(sites: readonly Linear[], weights: ReadonlyMap<string, QuantizedMatrix>): Promise<WeightHistogram[]> {
  const ranked = sites.filter((site) => weights.has(site.id)).map((site) => {
    const stats = weights.get(site.id)!.stats();
    return { site, error: stats === undefined || !(stats.sumOfSquares > 0) ? 0 : stats.squaredError / stats.sumOfSquares };
  }).sort((a, b) => b.error - a.error);
  const picked = new Map(ranked.slice(0, 3).map(({ site }) => [site.id, site]));
  return Promise.all([...picked.values()].map((site) => histogramOf(site, weights.get(site.id)!)));
}

async function histogramOf(site: Linear, matrix: QuantizedMatrix): Promise<WeightHistogram> {
  const rows = Math.min(rowsShown, site.rows);
  const values = await site.readRows(0, rows);
  const quantized = await matrix.read(0, rows);
  const decoded = matrix.format.decode(quantized);
  let min = Infinity, max = -Infinity;
  for (const value of values) { min = Math.min(min, value); max = Math.max(max, value); }
  const counts = new Array<number>(bins).fill(0);
  const step = (max - min) / bins || 1;
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - min) / step))]++;
  // Levels of the group of the first row: other groups have their own scale.
  const width = Math.min(site.cols, Number.isFinite(matrix.format.group) ? matrix.format.group : site.cols);
  const levels = [...new Set(decoded.subarray(0, width))].sort((a, b) => a - b);
  return { tensor: site.id, format: matrix.format.name, min, max, counts, levels: levels.slice(0, 256) };
}
