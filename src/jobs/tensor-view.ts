/** One weight as a page shows it: its values binned, and what candidate formats would make of it. */
import type { NumberFormat } from '../formats/format.ts';
import type { Linear } from '../graph/linear.ts';
import { firstNonFinite, mean, sqnr, std } from '../numeric/statistics.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { binned, levelsOf, rowsShown } from './histogram.ts';

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
  const [center, far] = [mean(values), 4 * std(values)];
  const outliers = values.reduce((count, value) => count + Number(Math.abs(value - center) > far), 0);
  return {
    name: site.id, rows: site.rows, cols, ...binned(values), outliers: outliers / values.length,
    formats: formats.map((format): FormatView => {
      const bitsPerWeight = format.bitsPerWeight(site.rows, cols);
      const refusal = finite ? format.refuses(rows, cols) : 'it holds values that are not finite';
      if (refusal !== undefined) return { format: format.name, bitsPerWeight, refusal, levels: [] };
      const decoded = format.decode(encodeMatrix(format, values, rows, cols, { name: site.id }));
      return { format: format.name, bitsPerWeight, sqnr: sqnr(values, decoded), levels: levelsOf(format, decoded, cols) };
    }),
  };
}
