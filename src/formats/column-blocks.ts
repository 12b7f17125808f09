/**
 * Formats whose codes stand for several weights at once and are found block of columns by block of columns, so that error
 * feedback can pass from one block to the next: vectors in the plane and trellis codes. Scales belong to rows.
 */
import { squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, NumberFormat, Quantized } from './format.ts';
import { checkInput } from './scaled.ts';
import { encodeTrellis, type TrellisEncoder } from './trellis/viterbi.ts';

/** Columns coded together. */
export const blockCols = 16;

/** Codes in the making: blocks of columns in any order, each once. */
export interface BlockCoder {
  /** Codes columns [first, first + width) from values [rows, width]; returns what they decode to. */
  encode(values: Float32Array, first: number, width: number): Float32Array;
  /** Packed codes, once all blocks were coded. */
  readonly codes: Uint8Array;
}

export interface BlockFormat extends NumberFormat {
  /** One scale per row. */
  fit(values: Float32Array, rows: number, cols: number): Float32Array;
  /** `search` finds paths of trellises; others do without. */
  coder(scales: Float32Array, rows: number, cols: number, search: TrellisEncoder): BlockCoder;
}

export const isBlockFormat = (format: NumberFormat): format is BlockFormat => 'coder' in format;

/** Codes of a matrix without feedback between blocks. */
export function encodeBlocks(format: BlockFormat, values: Float32Array, rows: number, cols: number, options?: EncodeOptions, search: TrellisEncoder = encodeTrellis): Quantized {
  checkInput(values, rows, cols, options);
  const scales = format.fit(values, rows, cols);
  const coder = format.coder(scales, rows, cols, search);
  for (let first = 0; first < cols; first += blockCols) {
    const width = Math.min(blockCols, cols - first);
    coder.encode(columns(values, rows, cols, first, width), first, width);
  }
  return finished(format, coder, scales, values, rows, cols);
}

/** The result of a coder, with its error. */
export function finished(format: BlockFormat, { codes }: BlockCoder, scales: Float32Array, values: Float32Array, rows: number, cols: number): Quantized {
  const quantized: Quantized = { format: format.name, rows, cols, codes, scales, scaleShape: [rows, 1], squaredError: 0 };
  return { ...quantized, squaredError: squaredDistance(format.decode(quantized), values) };
}

/** Columns [first, first + width) of a row-major matrix, [rows, width]. */
export function columns(values: Float32Array, rows: number, cols: number, first: number, width: number): Float32Array {
  const out = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * cols + first, r * cols + first + width), r * width);
  return out;
}
