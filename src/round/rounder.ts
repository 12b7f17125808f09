/** What every rounder takes and gives: a matrix and what is known of its inputs become codes and scales. */
import { defineErrors } from '../errors.ts';
import type { NumberFormat, Quantized } from '../formats/format.ts';
import { isScaled, type ScaledFormat } from '../formats/scaled.ts';

/** Row-major [rows, cols], rows along the reduction axis. */
export interface Matrix {
  readonly values: Float32Array;
  readonly rows: number;
  readonly cols: number;
  /** Tensor name, for error messages. */
  readonly name?: string;
}

/** What inputs of a linear site look like on data; every rounder states what it needs of it. */
export interface InputStatistics {
  /** Sum (or mean) over samples of xᵀx, [cols, cols]. */
  readonly hessian?: Float32Array | Float64Array;
  /** Mean of x² per column, length cols. */
  readonly meanSquare?: Float32Array;
  /** Mean of |x| per column, length cols. */
  readonly meanAbsolute?: Float32Array;
}

/** A family: nearest → scale search → error feedback. `O` holds the settings of one member. */
export type Rounder<O = object> = (weight: Matrix, format: NumberFormat, statistics?: InputStatistics, options?: O) => Quantized;

const errors = defineErrors('round', {
  needs: (f: { rounder: string; what: string; name: string }) => [
    `${f.rounder}: tensor ${f.name} has no ${f.what}`,
    'give calibration data, or choose a rounder that needs none',
  ] as const,
  format: (f: { rounder: string; format: string; takes: string }) => `${f.rounder} does not round to ${f.format} (takes ${f.takes})`,
  size: (f: { rounder: string; name: string; what: string; length: number; expected: number }) =>
    `${f.rounder}: tensor ${f.name} needs ${f.expected} values of ${f.what}, got ${f.length}`,
  notFinite: (f: { rounder: string; name: string; what: string; index: number }) =>
    `${f.rounder}: ${f.what} of tensor ${f.name} is not finite at index ${f.index}`,
});

/** A statistic that a rounder cannot do without, checked for length and finiteness. */
export function required<T extends Float32Array | Float64Array>(
  rounder: string, weight: Matrix, what: string, values: T | undefined, expected: number,
): T {
  const name = weight.name ?? 'unnamed';
  if (values === undefined) throw errors.needs({ rounder, what, name });
  if (values.length !== expected) throw errors.size({ rounder, name, what, length: values.length, expected });
  for (let index = 0; index < values.length; index++) {
    if (!Number.isFinite(values[index])) throw errors.notFinite({ rounder, name, what, index });
  }
  return values;
}

/** The format as one whose scales and codes can be made apart, which block types are not. */
export function scaledFormat(rounder: string, format: NumberFormat): ScaledFormat {
  if (!isScaled(format)) throw errors.format({ rounder, format: format.name, takes: 'integers, small floats, microscaling and tables' });
  return format;
}

export const wrongFormat = (rounder: string, format: string, takes: string) => errors.format({ rounder, format, takes });

/** Σ (a − b)², in float64 in index order. */
export function squaredDifference(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}
