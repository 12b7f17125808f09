/** The form that weight-only layouts share: unsigned codes, one scale and one zero point per row and group. */
import type { Quantized } from '../format.ts';
import { errors } from './bits.ts';

export interface GroupedCodes {
  readonly rows: number;
  readonly cols: number;
  readonly groups: number;
  /** 0..2^bits−1, row-major [rows, cols]. */
  readonly codes: Uint8Array;
  /** [rows, groups]. */
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
  /** Every zero point is 2^(bits−1), as in symmetric formats. */
  readonly symmetric: boolean;
}

/**
 * Integer codes with `groups` scales per row: signed codes are lifted by 2^(bits−1), tensor and channel scales repeated.
 * `groups` must be a multiple of the scales per row, and no scale may span part of the rows.
 */
export function groupedCodes(quantized: Quantized, bits: number, groups: number): GroupedCodes {
  const { rows, cols, scaleShape: [scaleRows, scaleCols] } = quantized;
  if ((scaleRows !== rows && quantized.scales.length !== 1) || groups % scaleCols !== 0) {
    throw errors.groups({ format: quantized.format, scaleRows, scaleCols, rows, groups });
  }
  const middle = 1 << (bits - 1);
  const signed = quantized.codes instanceof Int8Array;
  const codes = quantized.codes instanceof Int8Array ? lifted(quantized.codes, middle) : quantized.codes;
  const scales = new Float32Array(rows * groups);
  const zeros = new Uint8Array(rows * groups);
  for (let r = 0; r < rows; r++) {
    const row = scaleRows === 1 ? 0 : r;
    for (let g = 0; g < groups; g++) {
      const at = row * scaleCols + Math.floor((g * scaleCols) / groups);
      scales[r * groups + g] = quantized.scales[at];
      zeros[r * groups + g] = (quantized.zeros?.[at] ?? 0) + (signed ? middle : 0);
    }
  }
  return { rows, cols, groups, codes, scales, zeros, symmetric: signed && quantized.zeros === undefined };
}

/** Codes plus `middle`. */
function lifted(from: Int8Array, middle: number): Uint8Array {
  const to = new Uint8Array(from.length);
  for (let i = 0; i < to.length; i++) to[i] = from[i] + middle;
  return to;
}

/** Values of grouped codes: (q − z)·s, groups of `size` columns. */
export function decodeGrouped({ rows, cols, groups, codes, scales, zeros }: GroupedCodes, size: number): Float32Array {
  const out = new Float32Array(rows * cols);
  for (let r = 0, i = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, i++) {
      const at = r * groups + Math.floor(c / size);
      out[i] = (codes[i] - zeros[at]) * scales[at];
    }
  }
  return out;
}
