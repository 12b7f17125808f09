/** Codes of formats with groups of columns (formats/coded.ts) in the layouts of the WebGPU kernels, value for value. */
import { groupSize } from '../engine/webgpu/inputs.ts';
import { formOf, type MatrixLayout } from '../engine/webgpu/matrix-layout.ts';
import { tableWords } from '../engine/webgpu/matrix-table.ts';
import type { MatrixCodes } from '../formats/coded.ts';
import { f16ToF32, f32ToF16 } from '../numeric/half.ts';
import { integerLevels } from './coded-matrix.ts';
import { groupWriter, type PackedRows } from './webgpu-groups.ts';

const isHalf = (value: number): boolean => f16ToF32(f32ToF16(value)) === value;

/** What integers are less. */
const middleOf = ({ bits }: MatrixCodes): number => 2 ** (bits - 1);
const isCentred = (codes: MatrixCodes): boolean => codes.zeros === undefined || Array.prototype.every.call(codes.zeros, (zero) => zero === middleOf(codes));

/** What codes of up to four bits stand for, integers too, which in groups of 16 are multiplied by a table. */
export const levelsOfCodes = (codes: MatrixCodes): Float32Array | undefined =>
  (codes.bits > 4 ? undefined : Float32Array.from({ length: 16 }, (_, code) => (codes.levels === undefined ? code - middleOf(codes) : codes.levels[code] ?? 0)));

/** The table of levels as kernels read it. */
export function tableOf(levels: ArrayLike<number>): Uint32Array {
  const { values, step } = integerLevels(levels);
  return tableWords(levels, values, step, values instanceof Int16Array);
}

/** The smallest layout that holds all values exactly; undefined for larger tables, and for groups that begin within 16 columns or, with zero points, within 32. */
export function layoutOfCodes(codes: MatrixCodes, cols: number): MatrixLayout | undefined {
  const { bits, levels, group, scales, zeros } = codes;
  const whole = group >= cols || group % groupSize === 0;
  if (!whole && group % (groupSize / 2) !== 0) return undefined;
  const halves = scales.every(isHalf);
  if (bits <= 4 && (levels !== undefined || !whole)) {
    if (!isCentred(codes)) return undefined;
    const kind = integerLevels(levelsOfCodes(codes)!).values instanceof Int16Array ? 'wide' : 'table';
    return `${kind}${halves ? '' : '-float'}${whole ? '' : '-halves'}`;
  }
  if (levels !== undefined || (!whole && !isCentred(codes))) return undefined;
  if (!whole) return 'eight-halves';
  if (bits > 4) return isCentred(codes) && halves ? 'eight' : 'eight-minima';
  if (bits === 4) return isCentred(codes) && halves ? 'four' : 'four-minima';
  const minima = halves && scales.every((scale, i) => isHalf(scale * (zeros?.[i] ?? middleOf(codes))));
  return `${bits === 3 ? 'three' : 'two'}${minima ? '' : '-minima'}`;
}

/** Some rows of a matrix. */
export function rowsOfCodes(codes: MatrixCodes, cols: number, first: number, last: number): MatrixCodes {
  const perRow = Math.ceil(cols / codes.group);
  return {
    ...codes, codes: codes.codes.subarray(first * cols, last * cols), scales: codes.scales.subarray(first * perRow, last * perRow),
    ...(codes.zeros === undefined ? {} : { zeros: Array.prototype.slice.call(codes.zeros, first * perRow, last * perRow) }),
  };
}

/** Rows from `first` to `last`: codes, and their scales with or without minima. */
export function packCodes(matrix: MatrixCodes, layout: MatrixLayout, cols: number, first: number, last: number): PackedRows {
  const { bits, halves = false, minima = false } = formOf(layout);
  const groups = Math.ceil(cols / groupSize);
  const perRow = Math.ceil(cols / matrix.group);
  const middle = middleOf(matrix);
  /** Codes of eight bits are signed. */
  const less = bits === 8 ? middle : 0;
  const to = groupWriter(layout, (last - first) * groups);
  // Behind the last column stands what is nothing.
  const nothing = layout === 'four' ? 8 : 0;
  const codes = new Int16Array(groupSize);
  for (let row = first; row < last; row++) {
    for (let g = 0; g < groups; g++) {
      const group = (row - first) * groups + g;
      const from = g * groupSize;
      for (let i = 0; i < groupSize; i++) codes[i] = from + i < cols ? matrix.codes[row * cols + from + i] - less : nothing;
      to.putCodes(group, codes, 0);
      const sideAt = (column: number): number => row * perRow + Math.floor(Math.min(cols - 1, column) / matrix.group);
      const at = sideAt(from);
      const scale = matrix.scales[at];
      if (halves) to.putSides(group, scale, matrix.scales[sideAt(from + 16)]);
      else if (minima) to.putSides(group, scale, scale * ((matrix.zeros?.[at] ?? middle) - less));
      else to.putSides(group, scale);
    }
  }
  return to;
}
