/** Matrices repacked for the low-bit kernels, and their products with tokens. */
import { bytePlace, groupSize, inputBytes, nibblePlace, panelRows, type LowBitKernels, type PackedForm, type RoundedPlace } from '../engine/kernels/lowbit.ts';
import { readFloats } from '../files/values.ts';
import { blockTypes, isBlockType, type TensorRef } from '../tensor-ref.ts';
import type { Arena } from './arena.ts';
import { packCodes } from './coded-matrix.ts';
import { trellisLevels } from '../engine/kernels/trellis-tiles.ts';
import { packTrellis } from './trellis-matrix.ts';
import { packOwn, type OwnProduct } from './own-products.ts';
import { emptyBlock, packedGroupBytes, packedTypes, packedValue, putBlock, sideBytes, viewsOf, type PackedType } from './packed-forms.ts';
import { unpackers, type Layout } from './unpack.ts';

export interface PackedMatrix {
  readonly layout: Layout | 'packed' | 'trellis' | 'own';
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 columns, the last padded with zeros. */
  readonly groups: number;
  readonly panels: number;
  /** Addresses; `mins` is 0 where there are none. */
  readonly weights: number;
  readonly scales: number;
  readonly mins: number;
  /** Bytes of weights, scales and minima. */
  readonly bytes: number;
  readonly packed?: { readonly type: Pick<PackedType, 'form'>; readonly form: PackedForm };
  /** Address of what a trellis looks like; its scales are those of rows. */
  readonly trellis?: number;
  /** Of a matrix that takes its inputs in a form of its own. */
  readonly own?: OwnProduct;
}

const groupBytes: Readonly<Record<Layout, number>> = { four: 128, 'four-minima': 128, eight: 256, 'eight-minima': 256, 'eight-halves': 256, float: 1024 };
const isFour = (layout: Layout): boolean => layout === 'four' || layout === 'four-minima';
/** Panel of a row, and where it is there. */
const placeOf = (row: number): readonly [panel: number, lane: number] => [Math.floor(row / panelRows), row % panelRows];

/** Values of a float matrix, or bytes of blocks, read at a time: 4 MiB, or 1. */
const readAtOnce = 2 ** 20;

/** First and last rows, the last one not among them, of what is read at a time. */
function* rowsAtOnce(rows: number, perRow: number): Generator<readonly [first: number, last: number]> {
  const count = Math.max(1, Math.floor(readAtOnce / perRow));
  for (let first = 0; first < rows; first += count) yield [first, Math.min(rows, first + count)];
}

/** Copies a matrix [rows, cols] into the arena in the layout of its type. */
export async function packMatrix(tensor: TensorRef, arena: Arena): Promise<PackedMatrix> {
  const [rows, cols] = tensor.shape;
  const groups = Math.ceil(cols / groupSize);
  const panels = Math.ceil(rows / panelRows);
  const packed = isBlockType(tensor.type) ? packedTypes[tensor.type] : undefined;
  if (packed !== undefined) return packPacked(tensor, packed, { rows, cols, groups, panels }, arena);
  const own = await packOwn(tensor, arena);
  if (own !== undefined) return { layout: 'own', rows, cols, groups, panels, weights: 0, scales: 0, mins: 0, bytes: own.bytes, own };
  const trellis = await tensor.coded?.trellis?.();
  if (trellis !== undefined) {
    const { form, ...held } = packTrellis(trellis, rows, cols, arena);
    return { layout: 'trellis', rows, cols, groups, panels, mins: 0, ...held, trellis: form };
  }
  const codes = await tensor.coded?.read();
  const coded = codes === undefined ? undefined : packCodes(codes, { rows, cols, groups, panels }, arena);
  if (coded !== undefined) return coded;
  const unpacker = isBlockType(tensor.type) ? unpackers[tensor.type] : undefined;
  const layout = unpacker?.layout ?? 'float';
  const sides = panels * groups * panelRows;
  const [codeBytes, scaleBytes, minBytes] = [panels * groups * groupBytes[layout], layout === 'float' ? 0 : 4 * sides * (layout === 'eight-halves' ? 2 : 1), layout === 'four-minima' || layout === 'eight-minima' ? 4 * sides : 0];
  const [weights, scales, mins] = [codeBytes, scaleBytes, minBytes].map((bytes) => (bytes === 0 ? 0 : arena.take(bytes)));
  const matrix: PackedMatrix & { readonly layout: Layout } = { layout, rows, cols, groups, panels, weights, scales, mins, bytes: codeBytes + scaleBytes + minBytes };
  if (unpacker === undefined) await packFloats(tensor, matrix, arena);
  else await packBlocks(tensor, matrix, arena);
  return matrix;
}

async function packFloats(tensor: TensorRef, { rows, cols, groups, weights }: PackedMatrix, arena: Arena): Promise<void> {
  for (const [first, last] of rowsAtOnce(rows, cols)) {
    const values = await readFloats(tensor, first, last);
    const to = arena.floats(weights, Math.ceil(rows / panelRows) * groups * groupSize * panelRows);
    for (let r = first; r < last; r++) {
      const [panel, lane] = placeOf(r);
      for (let c = 0; c < cols; c++) to[(panel * groups * groupSize + c) * panelRows + lane] = values[(r - first) * cols + c];
    }
  }
}

async function packBlocks(tensor: TensorRef, matrix: PackedMatrix & { readonly layout: Layout }, arena: Arena): Promise<void> {
  const { rows, cols, groups, layout, weights, scales, mins, panels } = matrix;
  const type = tensor.type as keyof typeof unpackers;
  const { block, bytes: blockBytes } = blockTypes[type];
  const { unpack } = unpackers[type]!;
  const inBlock = block / groupSize;
  const halves = layout === 'eight-halves' ? 2 : 1;
  const rowBytes = (cols / block) * blockBytes;
  const codes = new Int8Array(block);
  const blockScales = new Float32Array(inBlock * halves);
  const blockMins = new Float32Array(inBlock);
  for (const [first, last] of rowsAtOnce(rows, rowBytes)) {
    const read = await tensor.read(first * rowBytes, last * rowBytes);
    const W = arena.bytesAt(weights, panels * groups * groupBytes[layout]);
    const S = arena.floats(scales, panels * groups * panelRows * halves);
    const M = mins === 0 ? undefined : arena.floats(mins, panels * groups * panelRows);
    for (let r = first; r < last; r++) {
      const [panel, lane] = placeOf(r);
      for (let b = 0; b * block < cols; b++) {
        unpack(read, (r - first) * rowBytes + b * blockBytes, codes, blockScales, blockMins);
        for (let k = 0; k < inBlock; k++) {
          const group = panel * groups + b * inBlock + k;
          for (let h = 0; h < halves; h++) S[(group * halves + h) * panelRows + lane] = blockScales[k * halves + h];
          if (M !== undefined) M[group * panelRows + lane] = blockMins[k];
          const at = group * groupBytes[layout];
          const own = codes.subarray(k * groupSize, (k + 1) * groupSize);
          if (isFour(layout)) own.forEach((code, c) => { W[at + nibbles[lane][c].byte] |= code << nibbles[lane][c].shift; });
          else own.forEach((code, c) => { W[at + bytePlace(lane, c)] = code; });
        }
      }
    }
  }
}

/** Places of codes of four bits by row and column. */
const nibbles = Array.from({ length: panelRows }, (_, row) => Array.from({ length: groupSize }, (_, column) => nibblePlace(row, column)));

async function packPacked(tensor: TensorRef, type: PackedType, size: Pick<PackedMatrix, 'rows' | 'cols' | 'groups' | 'panels'>, arena: Arena): Promise<PackedMatrix> {
  const { rows, cols, groups, panels } = size;
  const { form } = type;
  const [codeBytes, scaleBytes] = [panels * groups * packedGroupBytes(form), sideBytes(form, panels, groups)];
  const [weights, scales, table] = [arena.take(codeBytes), arena.take(scaleBytes), form.levels === undefined ? 0 : arena.take(form.levels.length)];
  if (form.levels !== undefined) arena.bytesAt(table, form.levels.length).set(form.levels);
  const { block, bytes: blockBytes } = blockTypes[tensor.type as keyof typeof packedTypes];
  const rowBytes = (cols / block) * blockBytes;
  const room = emptyBlock(block);
  for (const [first, last] of rowsAtOnce(rows, rowBytes)) {
    const read = await tensor.read(first * rowBytes, last * rowBytes);
    const views = viewsOf(arena, { weights, scales, panels, groups }, form);
    for (let r = first; r < last; r++) {
      const [panel, lane] = placeOf(r);
      for (let b = 0; b * block < cols; b++) {
        type.unpack(read, (r - first) * rowBytes + b * blockBytes, room);
        putBlock(type, room, panel * groups + (b * block) / groupSize, lane, views);
      }
    }
  }
  return { layout: 'packed', ...size, weights, scales, mins: 0, bytes: codeBytes + scaleBytes, packed: { type, form: { ...form, table } } };
}

/** A width in whole groups, as rows of what products take and give lie. */
export const padded = (width: number): number => Math.ceil(width / groupSize) * groupSize;

/** Room for `tokens` rounded inputs of `width` values, a multiple of 32. */
export const takeRounded = (arena: Arena, tokens: number, width: number, bits: RoundedPlace['bits'] = 8): RoundedPlace => ({ at: arena.take(tokens * (width / groupSize) * inputBytes), bits });

/** Tokens as products take them: floats [tokens, groups · 32] and the same rounded. */
export interface Inputs { readonly x: number; readonly rounded: RoundedPlace }

/** out[token][row] of a matrix; `stride` of the results in values. */
export function multiply(kernels: LowBitKernels, matrix: PackedMatrix, inputs: Inputs, tokens: number, out: number, stride: number): void {
  const place = { weights: matrix.weights, groups: matrix.groups, tokens, out, stride, first: 0, last: matrix.panels };
  switch (matrix.layout) {
    case 'four': case 'four-minima': return kernels.product4(place, matrix.scales, matrix.mins, inputs.rounded);
    case 'eight': case 'eight-minima': return kernels.product8(place, matrix.scales, matrix.mins, inputs.rounded);
    case 'eight-halves': return kernels.product8Halves(place, matrix.scales, inputs.rounded);
    case 'packed': return kernels.productPacked(place, matrix.packed!.form, matrix.scales, inputs.rounded);
    case 'trellis': return kernels.productTrellis(place, matrix.trellis!, matrix.scales, inputs.rounded);
    case 'own': return matrix.own!.multiply(kernels, inputs.x, tokens, out, stride);
    case 'float': return kernels.productFloat(place, inputs.x);
    default: return matrix.layout satisfies never;
  }
}

/** The values of one row, as the products see them: what an embedding looks up. */
export function rowOf(arena: Arena, matrix: PackedMatrix, row: number, out: Float32Array): void {
  const { cols, groups, weights, scales, mins, packed } = matrix;
  // What an embedding looks up takes no inputs.
  const layout = matrix.layout as Exclude<PackedMatrix['layout'], 'own'>;
  const [panel, lane] = placeOf(row);
  if (layout === 'packed') {
    const views = viewsOf(arena, matrix, packed!.type.form);
    for (let c = 0; c < cols; c++) out[c] = packedValue(packed!.type, panel * groups + Math.floor(c / groupSize), lane, c % groupSize, views);
    return;
  }
  const at = (address: number, index: number): number => arena.floats(address, index + 1)[index];
  if (layout === 'trellis') {
    const levelAt = trellisLevels(arena.memory.buffer, matrix.trellis!, weights);
    for (let c = 0; c < cols; c++) out[c] = Math.fround(levelAt(row, c) * at(scales, row));
    return;
  }
  for (let g = 0; g * groupSize < cols; g++) {
    const group = panel * groups + g;
    if (layout === 'float') {
      const from = arena.floats(weights + group * groupBytes.float, groupSize * panelRows);
      for (let i = 0; i < groupSize && g * groupSize + i < cols; i++) out[g * groupSize + i] = from[i * panelRows + lane];
      continue;
    }
    const codes = arena.bytesAt(weights + group * groupBytes[layout], groupBytes[layout]);
    const min = mins === 0 ? 0 : at(mins, group * panelRows + lane);
    const codeAt = isFour(layout)
      ? (i: number): number => ((codes[nibbles[lane][i].byte] >> nibbles[lane][i].shift) & 15) - (layout === 'four' ? 8 : 0)
      : (i: number): number => (codes[bytePlace(lane, i)] << 24) >> 24;
    for (let i = 0; i < groupSize; i++) {
      const scale = at(scales, layout === 'eight-halves' ? (group * 2 + (i >> 4)) * panelRows + lane : group * panelRows + lane);
      out[g * groupSize + i] = Math.fround(Math.fround(scale * codeAt(i)) - min);
    }
  }
}
