/** Scales and codes of a matrix by the kernel where there is one, else by the format itself; the same bytes. */
import { encodeFast, fitFast } from '../engine/kernels/scales.ts';
import type { EncodeOptions, NumberFormat, Quantized } from '../formats/format.ts';
import type { Fit, ScaledFormat } from '../formats/scaled.ts';

export const fitMatrix = (format: ScaledFormat, values: Float32Array, rows: number, cols: number, options?: EncodeOptions): Fit =>
  fitFast(format, values, rows, cols, options) ?? format.fit(values, rows, cols, options);

export const encodeMatrix = (format: NumberFormat, values: Float32Array, rows: number, cols: number, options?: EncodeOptions): Quantized =>
  encodeFast(format, values, rows, cols, options) ?? format.encode(values, rows, cols, options);
