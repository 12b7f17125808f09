/** Matrices that are codes of any format with groups of columns (formats/coded.ts), repacked for the kernels. */
import { bytePlace, groupSize, nibblePlace, panelRows, wideTop } from '../engine/kernels/lowbit.ts';
import type { MatrixCodes } from '../formats/coded.ts';
import type { Arena } from './arena.ts';
import { emptyBlock, packedGroupBytes, putBlock, sideBytes, viewsOf, type PackedForms } from './packed-forms.ts';
import type { PackedMatrix } from './packed-matrix.ts';

type Size = Pick<PackedMatrix, 'rows' | 'cols' | 'groups' | 'panels'>;

/** Integers in the place of the levels of a table, and what one of them counts. */
export interface IntegerLevels { readonly values: Int8Array | Int16Array; readonly step: number }

/**
 * The integers nearest to the levels: the smallest that stand for them exactly, as 12 times E2M1 does; else, as for NF4,
 * those of at most 2047 that err least, by at most 2^-12 of the largest level.
 */
export function integerLevels(levels: ArrayLike<number>): IntegerLevels {
  const all = Array.from(levels);
  const largest = all.reduce((most, level) => Math.max(most, Math.abs(level)), 0);
  let best = { error: Infinity, top: 1 };
  for (let top = 1; top <= wideTop && best.error > 0; top++) {
    const error = all.reduce((worst, level) => Math.max(worst, Math.abs(Math.round((level * top) / largest) * (largest / top) - level)), 0);
    if (error <= 2 ** -24 * largest) best = { error: 0, top };
    else if (error < best.error) best = { error, top };
  }
  const { top } = best;
  const values = all.map((level) => (largest === 0 ? 0 : Math.round((level * top) / largest)));
  return { values: top <= 127 ? Int8Array.from(values) : Int16Array.from(values), step: largest / top };
}

/** Copies codes into the arena in the layout that stands for them; undefined where none does, and the matrix stays float. */
export function packCodes(coded: MatrixCodes, size: Size, arena: Arena): PackedMatrix | undefined {
  const { bits, levels, group } = coded;
  const whole = group >= size.cols || group % groupSize === 0;
  if (!whole && group % (groupSize / 2) !== 0) return undefined;
  if (levels !== undefined) return bits <= 4 ? packTable(coded, integerLevels(levels), !whole, size, arena) : undefined;
  const middle = 2 ** (bits - 1);
  const centred = coded.zeros === undefined || Array.prototype.every.call(coded.zeros, (zero) => zero === middle);
  if (!centred) return whole ? packIntegers(coded, coded.zeros!, size, arena) : undefined;
  if (bits === 4 && !whole) return packTable(coded, { values: Int8Array.from({ length: 16 }, (_, code) => code - 8), step: 1 }, true, size, arena);
  if (bits < 4) return packForm(coded, { bits: bits as 2 | 3, less: middle, fine: false, minima: false, halves: !whole }, 1, size, arena);
  return packIntegers(coded, undefined, size, arena, !whole);
}

function packTable(coded: MatrixCodes, { values, step }: IntegerLevels, halves: boolean, size: Size, arena: Arena): PackedMatrix {
  return packForm(coded, { bits: 4, less: 0, levels: values, fine: false, minima: false, halves }, step, size, arena);
}

/** The scale of a row where a group, or a half of one, begins. */
const scaleOf = ({ scales, group }: MatrixCodes, { cols }: Size, row: number, column: number): number => scales[row * Math.ceil(cols / group) + Math.floor(column / group)];

/** Codes of up to four bits that are held as they are. */
function packForm(coded: MatrixCodes, form: PackedForms, step: number, size: Size, arena: Arena): PackedMatrix {
  const { rows, cols, groups, panels } = size;
  const parts = form.halves ? 2 : 1;
  const [codeBytes, scaleBytes, tableBytes] = [panels * groups * packedGroupBytes(form), sideBytes(form, panels, groups), form.levels === undefined ? 0 : 32];
  const [weights, scales, table] = [arena.take(codeBytes), arena.take(scaleBytes), tableBytes === 0 ? 0 : arena.take(tableBytes)];
  const wide = form.levels instanceof Int16Array;
  form.levels?.forEach((level, i) => {
    arena.bytesAt(table, tableBytes)[i] = level;
    if (wide) arena.bytesAt(table, tableBytes)[16 + i] = level >> 8;
  });
  const views = viewsOf(arena, { weights, scales, panels, groups }, form);
  const block = emptyBlock(groupSize);
  for (let r = 0; r < rows; r++) {
    for (let g = 0; g < groups; g++) {
      block.codes.fill(0);
      block.codes.set(coded.codes.subarray(r * cols + g * groupSize, r * cols + Math.min(cols, (g + 1) * groupSize)));
      for (let part = 0; part < parts; part++) block.scales[part] = scaleOf(coded, size, r, Math.min(cols - 1, g * groupSize + part * 16)) * step;
      putBlock({ form }, block, Math.floor(r / panelRows) * groups + g, r % panelRows, views);
    }
  }
  return { layout: 'packed', ...size, weights, scales, mins: 0, bytes: codeBytes + scaleBytes, packed: { type: { form }, form: { ...form, table, wide } } };
}

/** Integers of four bits, with zero points fewer too, and of up to eight. */
function packIntegers(coded: MatrixCodes, zeros: ArrayLike<number> | undefined, size: Size, arena: Arena, halves = false): PackedMatrix {
  const { rows, cols, groups, panels } = size;
  const { bits, group, codes } = coded;
  const four = bits <= 4;
  /** Signed codes of eight bits are less this. */
  const less = four ? 0 : 2 ** (bits - 1);
  const parts = halves ? 2 : 1;
  const [sides, groupBytes] = [panels * groups * panelRows * parts, four ? 128 : 256];
  const [weights, scales, mins] = [arena.take(panels * groups * groupBytes), arena.take(4 * sides), zeros === undefined ? 0 : arena.take(4 * sides)];
  const [W, S] = [arena.bytesAt(weights, panels * groups * groupBytes), arena.floats(scales, sides)];
  const M = zeros === undefined ? undefined : arena.floats(mins, sides);
  for (let r = 0; r < rows; r++) {
    const lane = r % panelRows;
    for (let g = 0; g < groups; g++) {
      const index = Math.floor(r / panelRows) * groups + g;
      for (let part = 0; part < parts; part++) S[(index * parts + part) * panelRows + lane] = scaleOf(coded, size, r, Math.min(cols - 1, g * groupSize + 16 * part));
      if (M !== undefined) M[index * panelRows + lane] = S[index * panelRows + lane] * (zeros![r * Math.ceil(cols / group) + Math.floor((g * groupSize) / group)] - less);
      for (let i = 0; i < groupSize && g * groupSize + i < cols; i++) {
        const code = codes[r * cols + g * groupSize + i];
        if (four) {
          const { byte, shift } = nibblePlace(lane, i);
          W[index * groupBytes + byte] |= code << shift;
        } else W[index * groupBytes + bytePlace(lane, i)] = code - less;
      }
    }
  }
  const layout = four ? (zeros === undefined ? 'four' : 'four-minima') : halves ? 'eight-halves' : zeros === undefined ? 'eight' : 'eight-minima';
  return { layout, ...size, weights, scales, mins, bytes: panels * groups * groupBytes + 4 * sides * (zeros === undefined ? 1 : 2) };
}
