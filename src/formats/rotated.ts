/**
 * A format behind a rotation that makes weights look normal (QuIP#, Tseng et al. 2024): random signs and Hadamard matrices
 * on both sides, W̃ = H·S·W·S·Hᵀ. Codes and scales are those of W̃; decoding turns back, so a rotated format stands for
 * the weight itself and nothing else in a network changes. Widths that are no power of two turn in equal blocks of the
 * largest one that divides them. Signs follow from the width alone: matrices that share an input share its rotation.
 */
import { hadamardOrder, hadamardTransform } from '../numeric/hadamard.ts';
import { transpose } from '../numeric/matrix.ts';
import { coinFlips } from '../numeric/random.ts';
import { squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
import { checkInput } from './scaled.ts';

export interface RotatedFormat extends NumberFormat {
  /** The format of the turned matrix. */
  readonly inner: NumberFormat;
  /** The result for the matrix itself, from that for the turned one. */
  turnedBack(quantized: Quantized, values: Float32Array, transform?: Transform): Quantized;
}

export const isRotated = (format: NumberFormat): format is RotatedFormat => 'inner' in format;

/** Order of the Hadamard blocks along a side. */
export const rotationOrder = (width: number): number => hadamardOrder(width, width);

const seed = 0x51;

/** ±1 for each index of a side. */
export const rotationSigns = (width: number): Float32Array => Float32Array.from(coinFlips(seed, width, 0, width), (coin) => 1 - 2 * coin);

/** Every run of `order` values times the Hadamard matrix: the plain transform, or a kernel with its bits. */
export type Transform = (values: Float32Array, order: number) => Float32Array;

function signed(values: Float32Array, width: number): Float32Array {
  const signs = rotationSigns(width);
  const out = new Float32Array(values.length);
  for (let row = 0; row < values.length; row += width) for (let i = 0; i < width; i++) out[row + i] = values[row + i] * signs[i];
  return out;
}

/** Rows of a row-major [rows, width] matrix under x → H·S·x. */
export const rotateRows = (values: Float32Array, width: number, transform: Transform = hadamardTransform): Float32Array => transform(signed(values, width), rotationOrder(width));

/** The inverse: x̃ → S·H·x̃. */
export const rotateRowsBack = (values: Float32Array, width: number, transform: Transform = hadamardTransform): Float32Array => signed(transform(values, rotationOrder(width)), width);

const largest = 3.4028234663852886e38;
/** Sums of the largest numbers stay numbers; changes the values. */
function finite(values: Float32Array): Float32Array {
  for (let i = 0; i < values.length; i++) {
    if (values[i] > largest) values[i] = largest;
    else if (values[i] < -largest) values[i] = -largest;
  }
  return values;
}

/** W̃ of a row-major [rows, cols] matrix. */
export const rotated = (values: Float32Array, rows: number, cols: number, transform?: Transform): Float32Array =>
  finite(transpose(rotateRows(finite(transpose(rotateRows(values, cols, transform), rows, cols)), rows, transform), cols, rows));

/** W of W̃. */
export const rotatedBack = (values: Float32Array, rows: number, cols: number, transform: Transform = hadamardTransform): Float32Array =>
  rotateRowsBack(transpose(rotateRowsBack(transpose(values, rows, cols), rows, transform), cols, rows), cols, transform);

/** The second moment [cols, cols] of x̃ = H·S·x from that of x. */
export const rotatedMoment = (moment: Float32Array, cols: number): Float32Array => rotated(moment, cols, cols);

export function rotatedFormat(inner: NumberFormat): RotatedFormat {
  const name = `${inner.name}+had`;
  const format: RotatedFormat = {
    name, family: inner.family, bits: inner.bits, group: inner.group, inner,
    bitsPerWeight: inner.bitsPerWeight,
    refuses: inner.refuses,
    turnedBack(quantized, values, transform) {
      const { rows, cols } = quantized;
      const decoded = rotatedBack(inner.decode({ ...quantized, format: inner.name }), rows, cols, transform);
      return { ...quantized, format: name, squaredError: squaredDistance(decoded, values) };
    },
    encode(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Quantized {
      checkInput(values, rows, cols, options);
      // Importance belongs to columns that the rotation mixes.
      const { importance: _mixed, ...rest } = options;
      return format.turnedBack(inner.encode(rotated(values, rows, cols), rows, cols, rest), values);
    },
    decode: (quantized) => rotatedBack(inner.decode({ ...quantized, format: inner.name }), quantized.rows, quantized.cols),
  };
  return format;
}
