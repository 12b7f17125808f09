/** Scales and codes of a matrix by the kernel where there is one, else by the format itself; the same bytes. */
import { hadamardFast } from '../engine/kernels/hadamard.ts';
import { encodeFast, fitFast } from '../engine/kernels/scales.ts';
import { encodeTrellisFast, hasTrellisKernel } from '../engine/kernels/trellis.ts';
import { encodeBlocks, isBlockFormat } from '../formats/column-blocks.ts';
import type { EncodeOptions, NumberFormat, Quantized } from '../formats/format.ts';
import { isRotated, rotated } from '../formats/rotated.ts';
import { checkInput, type Fit, type ScaledFormat } from '../formats/scaled.ts';
import { encodeTrellis, type TrellisEncoder } from '../formats/trellis/viterbi.ts';

export const fitMatrix = (format: ScaledFormat, values: Float32Array, rows: number, cols: number, options?: EncodeOptions): Fit =>
  fitFast(format, values, rows, cols, options) ?? format.fit(values, rows, cols, options);

export function encodeMatrix(format: NumberFormat, values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Quantized {
  if (isBlockFormat(format)) return encodeBlocks(format, values, rows, cols, options, searchTrellis);
  if (isRotated(format)) {
    checkInput(values, rows, cols, options);
    // Importance belongs to columns that the rotation mixes.
    const { importance: _mixed, ...rest } = options;
    return format.turnedBack(encodeMatrix(format.inner, rotated(values, rows, cols, hadamardFast), rows, cols, isBlockFormat(format.inner) ? {} : rest), values, hadamardFast);
  }
  return encodeFast(format, values, rows, cols, options) ?? format.encode(values, rows, cols, options);
}

/** The kernel for all but the smallest trellises. */
export const searchTrellis: TrellisEncoder = (trellis, sequences, length) =>
  (hasTrellisKernel(trellis) ? encodeTrellisFast : encodeTrellis)(trellis, sequences, length);
