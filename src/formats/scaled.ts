/**
 * Formats whose value is code × scale: what is common to integers, minifloats, microscaling and tables.
 * A fit (scales, zero points, codebooks) can be made apart from the codes, for rounders that choose codes themselves.
 */
import { defineErrors } from '../errors.ts';
import { firstNonFinite } from '../numeric/statistics.ts';
import type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
import type { Granularity } from './granularity.ts';
import type { ScaleType } from './scale-type.ts';
import type { SymmetricSpec } from './symmetric.ts';

/** Everything about a quantized matrix but its codes; fields as in `Quantized`. */
export type Fit = Pick<Quantized, 'scales' | 'scaleShape' | 'zeros' | 'tensorScale' | 'codebook' | 'doubleQuantized'>;

/** Rounds single values of a matrix, for methods that go column by column. */
export interface ElementRounder {
  code(x: number, row: number, col: number): number;
  value(code: number, row: number, col: number): number;
}

export interface ScaledFormat extends NumberFormat {
  readonly granularity: Granularity;
  readonly scaleType: ScaleType;
  /** Integer formats: the range of codes and whether zero points are kept. */
  readonly integer?: { readonly qmin: number; readonly qmax: number; readonly asymmetric: boolean };
  /** What the format is made of, where it has a grid and no zero points. */
  readonly symmetric?: SymmetricSpec;
  /** Scales (and zero points, codebooks) for a matrix, without codes. */
  fit(values: Float32Array, rows: number, cols: number, options?: EncodeOptions): Fit;
  /** Nearest codes under a given fit. */
  encodeWith(values: Float32Array, rows: number, cols: number, fit: Fit, options?: EncodeOptions): Quantized;
  /** The same rounding, one value at a time. */
  rounder(fit: Fit, rows: number, cols: number): ElementRounder;
}

export const isScaled = (format: NumberFormat): format is ScaledFormat => 'fit' in format && 'rounder' in format;

export const errors = defineErrors('format', {
  notFinite: (f: { name: string; index: number; value: number }) =>
    `tensor ${f.name}: value at index ${f.index} is ${f.value}, which no code stands for`,
  sizeMismatch: (f: { name: string; length: number; rows: number; cols: number }) =>
    `tensor ${f.name}: ${f.length} values do not fill [${f.rows}, ${f.cols}]`,
  importanceLength: (f: { name: string; length: number; cols: number }) =>
    `tensor ${f.name}: ${f.length} importances for ${f.cols} columns`,
  importanceValue: (f: { name: string; index: number; value: number }) =>
    `tensor ${f.name}: importance of column ${f.index} is ${f.value}, expected a finite number of at least 0`,
  scaleRule: (f: { rule: string; format: string; fits: string }) =>
    `scale rule ${f.rule} does not apply to ${f.format} (rules there: ${f.fits})`,
  overflow: (f: { name: string; index: number; value: number; type: string }) =>
    [`tensor ${f.name}: value ${f.value} at index ${f.index} overflows ${f.type}`, 'keep the tensor in f32 or bf16, or rescale it'],
  codesMismatch: (f: { format: string; length: number; rows: number; cols: number }) =>
    `${f.format}: ${f.length} codes for a [${f.rows}, ${f.cols}] matrix`,
});

/** Refuses what no encoder can take: wrong sizes, NaN, infinities, importances that are not weights. */
export function checkInput(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): void {
  const name = options.name ?? 'unnamed';
  if (values.length !== rows * cols) throw errors.sizeMismatch({ name, length: values.length, rows, cols });
  const index = firstNonFinite(values);
  if (index >= 0) throw errors.notFinite({ name, index, value: values[index] });
  const { importance } = options;
  if (importance === undefined) return;
  if (importance.length !== cols) throw errors.importanceLength({ name, length: importance.length, cols });
  const bad = importance.findIndex((a) => !(a >= 0 && a < Infinity));
  if (bad >= 0) throw errors.importanceValue({ name, index: bad, value: importance[bad] });
}
