/** Values of a few weights and the levels that their codes can take, for the report's pictures. */
import type { NumberFormat } from '../formats/format.ts';
import type { Linear } from '../graph/linear.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import type { WeightHistogram } from './result.ts';

/** Rows that are looked at; a picture needs no more. */
export const rowsShown = 64;
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
  const { min, max, counts } = binned(values);
  return { tensor: site.id, format: matrix.format.name, min, max, counts, levels: levelsOf(matrix.format, decoded, site.cols) };
}

/** Equal bins from the least to the largest value. */
export function binned(values: Float32Array): { readonly min: number; readonly max: number; readonly counts: number[] } {
  let min = Infinity, max = -Infinity;
  for (const value of values) { min = Math.min(min, value); max = Math.max(max, value); }
  const counts = new Array<number>(bins).fill(0);
  const step = (max - min) / bins || 1;
  for (const value of values) counts[Math.min(bins - 1, Math.floor((value - min) / step))]++;
  return { min, max, counts };
}

/** Decoded values that occur in the group of the first row, ascending: other groups have their own scale. */
export function levelsOf(format: NumberFormat, decoded: Float32Array, cols: number): number[] {
  const width = Math.min(cols, Number.isFinite(format.group) ? format.group : cols);
  return [...new Set(decoded.subarray(0, width))].sort((a, b) => a - b).slice(0, 256);
}
