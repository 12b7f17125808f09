/** One weight as a page shows it: its values binned, and what candidate formats would make of it. */
import type { NumberFormat } from '../formats/format.ts';
import type { Linear } from '../graph/linear.ts';
import { firstNonFinite, sqnr } from '../numeric/statistics.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';

/** Rows that are looked at; a picture needs no more. */
const rowsShown = 64;
const bins = 80;

export interface FormatView {
  readonly format: string;
  readonly bitsPerWeight: number;
  /** dB over the rows that were looked at; absent where the matrix cannot take the format. */
  readonly sqnr?: number;
  readonly refusal?: string;
  /** Decoded values of one typical group, ascending. */
  readonly levels: readonly number[];
}

export interface TensorView {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly min: number;
  readonly max: number;
  /** Equal bins from min to max over the first rows. */
  readonly counts: readonly number[];
  /** Share of values farther than four standard deviations from the mean. */
  readonly outliers: number;
  readonly formats: readonly FormatView[];
}

/** Looks at the first rows of a site's weight [rows, cols], rounded to nearest. */
export async function tensorView(site: Linear, formats: readonly NumberFormat[]): Promise<TensorView> {
  const rows = Math.min(rowsShown, site.rows);
  const { cols } = site;
  const values = await site.readRows(0, rows);
  const finite = firstNonFinite(values) < 0;
  let [min, max, sum, squares] = [Infinity, -Infinity, 0, 0];
  for (const value of values) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  const far = 4 * Math.sqrt(Math.max(0, squares / values.length - mean * mean));
  const counts = new Array<number>(bins).fill(0);
  const step = (max - min) / bins || 1;
  let outliers = 0;
  for (const value of values) {
    counts[Math.min(bins - 1, Math.max(0, Math.floor((value - min) / step)))]++;
    if (Math.abs(value - mean) > far) outliers++;
  }
  return {
    name: site.id, rows: site.rows, cols, min, max, counts, outliers: outliers / values.length,
    formats: formats.map((format): FormatView => {
      const bitsPerWeight = format.bitsPerWeight(site.rows, cols);
      const refusal = finite ? format.refuses(rows, cols) : 'it holds values that are not finite';
      if (refusal !== undefined) return { format: format.name, bitsPerWeight, refusal, levels: [] };
      const decoded = format.decode(encodeMatrix(format, values, rows, cols, { name: site.id }));
      const width = Math.min(cols, Number.isFinite(format.group) ? format.group : cols);
      const levels = [...new Set(decoded.subarray(0, width))].sort((a, b) => a - b);
      return { format: format.name, bitsPerWeight, sqnr: sqnr(values, decoded), levels: levels.slice(0, 256) };
    }),
  };
}
