/**
 * Matrices as codes and what these stand for, for engines that multiply codes: value = level of a table · scale, or
 * (code − zero) · scale. What a float view of the same matrix carries beside its values.
 */
import type { TensorRef } from '../tensor-ref.ts';
import type { NumberFormat, Quantized } from './format.ts';
import type { Granularity } from './granularity.ts';
import { isScaled, type ScaledFormat } from './scaled.ts';
import type { TrellisFormat } from './trellis/trellis.ts';

export interface MatrixCodes {
  /** Of a code, at most 8. */
  readonly bits: number;
  /** [rows, cols], not negative. */
  readonly codes: Uint8Array;
  /** What codes stand for, 2^bits numbers; without it they are integers. */
  readonly levels?: Float32Array;
  /** Columns that share a scale; the last ones of a row may be fewer. */
  readonly group: number;
  /** [rows, ⌈cols / group⌉]. */
  readonly scales: Float32Array;
  /** What integers are less, laid out like scales; 2^(bits − 1) where there are none. */
  readonly zeros?: ArrayLike<number>;
}

/** What happens to inputs before a matrix multiplies them, in this order. */
export interface InputForm {
  /** Factor of each column. */
  readonly factors?: TensorRef;
  /** The column that comes to each place. */
  readonly order?: TensorRef;
  /** What they are rounded to. */
  readonly format?: NumberFormat;
}

/** Float matrices of low rank beside the codes: up [rows, rank] · down [rank, cols], of inputs that are not rounded, in the order of columns that these had before. */
export interface LowRankBranch { readonly down: Float32Array; readonly up: Float32Array; readonly rank: number }

/** Bytes as a trellis format lays them out, and a scale for each row. */
export interface TrellisCodes { readonly format: TrellisFormat; readonly codes: Uint8Array; readonly scales: Float32Array }

export interface CodedMatrix {
  /** Undefined where columns that share a scale do not lie together, or where codes are of another kind. */
  read(): Promise<MatrixCodes | undefined>;
  trellis?(): Promise<TrellisCodes>;
  /** Codes are those of the matrix behind rotations on both sides (rotated.ts); the tensor itself is turned back. */
  readonly rotated?: boolean;
  readonly inputs?: InputForm;
  branch?(): Promise<LowRankBranch>;
}

/** Values [rows, cols], each product rounded once. */
export function valuesOf({ bits, codes, levels, group, scales, zeros }: MatrixCodes, rows: number, cols: number): Float32Array {
  const out = new Float32Array(rows * cols);
  const groups = Math.ceil(cols / group);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) {
      const at = r * groups + Math.floor(c / group);
      out[r * cols + c] = (levels === undefined ? codes[r * cols + c] - (zeros?.[at] ?? 2 ** (bits - 1)) : levels[codes[r * cols + c]]) * scales[at];
    }
  }
  return out;
}

/** Table entries that kernels look up. */
const mostLevels = 16;

/** Whether matrices in a format, with rows of this width, are codes that engines multiply: integers of up to 8 bits, and tables that the format fixes. */
export function isCoded(format: NumberFormat, cols: number): format is ScaledFormat {
  if (!isScaled(format) || format.bits < 2) return false;
  const { granularity, integer, symmetric } = format;
  if (granularity.kind === 'flat' && cols % granularity.size !== 0) return false;
  return integer !== undefined || symmetric?.grid.uniform !== undefined || (2 ** Math.ceil(format.bits) <= mostLevels && !format.name.startsWith('kmeans'));
}

/** The codes of a matrix that was quantized in a format that `isCoded` takes. */
export function codesOf(format: ScaledFormat, { codes, scales, scaleShape, zeros, tensorScale = 1, rows, cols }: Quantized): MatrixCodes {
  const group = Math.min(cols, widthOf(format.granularity, cols));
  const groups = Math.ceil(cols / group);
  const bits = Math.ceil(format.bits);
  const laid = (numbers: ArrayLike<number>, by = 1): Float32Array =>
    Float32Array.from({ length: rows * groups }, (_, i) => numbers[placeOf(format.granularity, scaleShape, Math.floor(i / groups), i % groups, cols)] * by);
  if (format.integer?.asymmetric === true) return { bits, codes: codes as Uint8Array, group, scales: laid(scales, tensorScale), zeros: laid(zeros!) };
  const uniform = format.symmetric?.grid.uniform;
  if (uniform !== undefined) {
    // A loop: `from` with a function took longer than the rounding itself.
    const raised = new Uint8Array(codes.length);
    for (let i = 0; i < codes.length; i++) raised[i] = codes[i] + 2 ** (bits - 1);
    return { bits, codes: raised, group, scales: laid(scales, tensorScale * uniform.step) };
  }
  const { value } = format.rounder({ scales: Float32Array.of(1), scaleShape: [1, 1] }, 1, 1);
  return { bits, codes: codes as Uint8Array, levels: Float32Array.from({ length: 2 ** bits }, (_, code) => value(code, 0, 0)), group, scales: laid(scales, tensorScale) };
}

/** Columns of a row that share a scale. */
function widthOf(granularity: Granularity, cols: number): number {
  switch (granularity.kind) {
    case 'tensor': case 'channel': case 'token': return cols;
    case 'group': case 'flat': return granularity.size;
    case 'block': return granularity.cols;
  }
}

/** Where the scale of a row's group lies. */
function placeOf(granularity: Granularity, [, scaleCols]: readonly [number, number], row: number, group: number, cols: number): number {
  switch (granularity.kind) {
    case 'tensor': return 0;
    case 'flat': return row * (cols / granularity.size) + group;
    case 'block': return Math.floor(row / granularity.rows) * scaleCols + group;
    default: return row * scaleCols + group;
  }
}
