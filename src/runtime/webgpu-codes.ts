/** Codes of formats with groups of columns (formats/coded.ts) in the layouts of the WebGPU kernels, value for value. */
import type { MatrixCodes } from '../formats/coded.ts';
import { groupSize } from '../engine/webgpu/inputs.ts';
import { hasHalfScales, layoutBytes, type MatrixLayout } from '../engine/webgpu/matrix-layout.ts';
import { f16ToF32, f32ToF16 } from '../numeric/half.ts';

const isHalf = (value: number): boolean => f16ToF32(f32ToF16(value)) === value;

/** The smallest layout that holds all values exactly; undefined for tables of levels and groups that begin within 32 columns. */
export function layoutOfCodes({ bits, levels, group, scales, zeros }: MatrixCodes, cols: number): Extract<MatrixLayout, 'four' | 'four-minima' | 'eight' | 'eight-minima'> | undefined {
  if (levels !== undefined || (group < cols && group % groupSize !== 0)) return undefined;
  const middle = 2 ** (bits - 1);
  const plain = (zeros === undefined || Array.prototype.every.call(zeros, (zero) => zero === middle)) && scales.every(isHalf);
  if (bits <= 4) return plain && bits === 4 ? 'four' : 'four-minima';
  return plain ? 'eight' : 'eight-minima';
}

/** Rows from `first` to `last`: codes, and their scales with or without minima. */
export function packCodes(matrix: MatrixCodes, layout: MatrixLayout, cols: number, first: number, last: number): { readonly codes: Uint8Array; readonly sides: Uint8Array } {
  const groups = Math.ceil(cols / groupSize);
  const perRow = Math.ceil(cols / matrix.group);
  const { codes: codeBytes, sides: sideBytes } = layoutBytes[layout];
  const [W, S] = [new Uint8Array((last - first) * groups * codeBytes), new Uint8Array((last - first) * groups * sideBytes)];
  const [S16, S32] = [new Uint16Array(S.buffer), new Float32Array(S.buffer, 0, S.byteLength >> 2)];
  const four = codeBytes === 16;
  const middle = 2 ** (matrix.bits - 1);
  /** Codes of eight bits are signed. */
  const less = four ? 0 : middle;
  // Behind the last column stands what is nothing.
  const nothing = layout === 'four' ? 8 : 0;
  for (let row = first; row < last; row++) {
    for (let g = 0; g < groups; g++) {
      const at = row * perRow + Math.floor((g * groupSize) / matrix.group);
      const group = (row - first) * groups + g;
      const scale = matrix.scales[at];
      if (hasHalfScales(layout)) S16[group] = f32ToF16(scale);
      else {
        S32[2 * group] = scale;
        S32[2 * group + 1] = scale * ((matrix.zeros?.[at] ?? middle) - less);
      }
      const code = (column: number): number => (column < cols ? matrix.codes[row * cols + column] - less : nothing);
      const from = g * groupSize;
      if (four) for (let i = 0; i < 16; i++) W[group * 16 + i] = code(from + i) | (code(from + 16 + i) << 4);
      else for (let i = 0; i < 32; i++) W[group * 32 + i] = code(from + i);
    }
  }
  return { codes: W, sides: S };
}
