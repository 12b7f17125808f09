/** Scales of codebooks made for a standard normal: the root mean square of each row, as bfloat16 holds it. */
import { scaleTypes } from './scale-type.ts';

/** Of scales: 16 bits with the range of float32. */
export const rowScaleType = scaleTypes.bf16;

const largest = 3.3895313892515355e38;

/** One scale per row of a row-major [rows, cols] matrix, the root mean square times `factor`; 0 for a row that decodes to zeros. */
export function rowScales(values: Float32Array, rows: number, cols: number, factor = 1): Float32Array {
  return Float32Array.from({ length: rows }, (_, r) => {
    let sum = 0;
    for (let i = r * cols; i < (r + 1) * cols; i++) sum += values[i] * values[i];
    return sum === 0 ? 0 : rowScaleType.round(Math.min(largest, factor * Math.sqrt(sum / cols)));
  });
}
