/** What formats lose on normal weights: the relative squared error that an allocator multiplies a layer's sensitivity by. */
import type { NumberFormat } from '../formats/format.ts';
import { normal } from '../numeric/random.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { sumOfSquares } from '../round/quantized-matrix.ts';

const [rows, cols] = [16, 512];
const known = new Map<string, number>();
let sample: Float32Array | undefined;

/** Σ(decoded − value)² / Σ value² over 8192 fixed normal values in rows of 512. */
export function gaussianError(format: NumberFormat): number {
  sample ??= Float32Array.from({ length: rows * cols }, (_, i) => normal(0x9a55, 0, i));
  let error = known.get(format.name);
  if (error === undefined) known.set(format.name, error = encodeMatrix(format, sample, rows, cols).squaredError / sumOfSquares(sample));
  return error;
}
