/** Matrices repacked for the WebGPU kernels: several that read the same inputs stand below each other in one. */
import type { Gpu } from '../engine/webgpu/gpu.ts';
import { groupSize, type InputKind } from '../engine/webgpu/inputs.ts';
import { formOf, isLowBit, layoutBytes, type MatrixLayout } from '../engine/webgpu/matrix-layout.ts';
import { readFloats } from '../files/values.ts';
import { valuesOf, type MatrixCodes, type TrellisCodes } from '../formats/coded.ts';
import { isBlockType, type TensorRef } from '../tensor-ref.ts';
import { packedTypes } from './packed-forms.ts';
import { layoutOfBlocks, packBlocks } from './webgpu-blocks.ts';
import { layoutOfCodes, levelsOfCodes, packCodes, rowsOfCodes, tableOf } from './webgpu-codes.ts';
import type { PackedRows } from './webgpu-groups.ts';
import { uploadTrellis } from './webgpu-trellis.ts';

export interface GpuMatrix {
  readonly layout: MatrixLayout;
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 columns, the last padded with zeros. */
  readonly groups: number;
  /** Codes and, where there are scales, what goes with them, and a table of levels: in the order that kernels bind them. */
  readonly buffers: readonly GPUBuffer[];
}

/** Bytes read at a time: 16 MiB. */
const readAtOnce = 2 ** 24;

/** A matrix with the layout that it takes, its codes where other formats than blocks hold some, and what codes of a table stand for. */
export interface LaidMatrix {
  readonly tensor: TensorRef;
  readonly layout: MatrixLayout;
  readonly codes?: MatrixCodes;
  readonly levels?: ArrayLike<number>;
  readonly trellis?: TrellisCodes;
}

/** Reads the codes of a matrix, whose values decide the layout. */
export async function laidMatrix(tensor: TensorRef): Promise<LaidMatrix> {
  const { type, coded, shape: [, cols] } = tensor;
  const held = coded?.rotated === true ? undefined : coded;
  const trellis = await held?.trellis?.();
  if (trellis !== undefined) return { tensor, layout: 'trellis', trellis };
  const codes = await held?.read();
  // Codes that have no layout give the floats: they may have been made as they were read.
  if (codes !== undefined) return { tensor, codes, layout: layoutOfCodes(codes, cols) ?? 'float', levels: levelsOfCodes(codes) };
  if (isBlockType(type)) return { tensor, layout: layoutOfBlocks(type), levels: packedTypes[type]?.form.levels };
  return { tensor, layout: type === 'f16' ? 'half' : 'float' };
}

/** Whether matrices can stand below each other: the same layout and, of tables, the same levels; tiles of trellises do not. */
export const alike = (a: LaidMatrix, b: LaidMatrix): boolean =>
  a.layout === b.layout && a.trellis === undefined && (formOf(a.layout).table === undefined || Array.prototype.every.call(a.levels!, (level, i) => level === b.levels![i]));

/** Inputs that a layout is multiplied with, where `wanted` is asked for: float weights take no rounded ones. */
export const inputsFor = (layout: MatrixLayout, wanted: InputKind): InputKind => (wanted === 'rounded' && !isLowBit(layout) ? 'float' : wanted);

/** Matrices [rows, cols] of one layout, one below the other, on the device. */
export async function uploadMatrix(gpu: Gpu, laid: readonly LaidMatrix[]): Promise<GpuMatrix> {
  const [{ layout, levels, trellis, tensor: { shape: [, cols] } }] = laid;
  const tensors = laid.map(({ tensor }) => tensor);
  const rows = tensors.reduce((sum, { shape }) => sum + shape[0], 0);
  const groups = Math.ceil(cols / groupSize);
  const { codes, sides } = layoutBytes(layout);
  const name = tensors.map((tensor) => tensor.name).join(' + ');
  if (trellis !== undefined) return uploadTrellis(gpu, name, trellis, rows, cols);
  const buffers = [gpu.buffer(name, rows * groups * codes)];
  if (sides > 0) buffers.push(gpu.buffer(`scales of ${name}`, rows * groups * sides));
  if (formOf(layout).table !== undefined) buffers.push(gpu.buffer(`levels of ${name}`, tableOf(levels!)));
  let below = 0;
  for (const { tensor, codes: matrix } of laid) {
    const rowBytes = tensor.byteLength / tensor.shape[0];
    // Whole words of scales: an even number of rows at a time.
    const atOnce = Math.max(2, 2 * Math.floor(readAtOnce / Math.max(rowBytes, groups * codes) / 2));
    for (let first = 0; first < tensor.shape[0]; first += atOnce) {
      const last = Math.min(tensor.shape[0], first + atOnce);
      const at = (below + first) * groups;
      const packed = await packRows(tensor, matrix, layout, first, last);
      gpu.write(buffers[0], at * codes, packed.codes);
      if (packed.sides.byteLength > 0) gpu.write(buffers[1], at * sides, packed.sides);
    }
    below += tensor.shape[0];
  }
  return { layout, rows, cols, groups, buffers };
}

async function packRows(tensor: TensorRef, matrix: MatrixCodes | undefined, layout: MatrixLayout, first: number, last: number): Promise<PackedRows> {
  const cols = tensor.shape[1];
  if (isLowBit(layout)) return matrix === undefined ? packBlocks(tensor, layout, first, last) : packCodes(matrix, layout, cols, first, last);
  const values = matrix === undefined ? undefined : valuesOf(rowsOfCodes(matrix, cols, first, last), last - first, cols);
  return { codes: await packFloats(tensor, values, layout, first, last), sides: new Uint8Array(0) };
}

async function packFloats(tensor: TensorRef, given: Float32Array | undefined, layout: MatrixLayout, first: number, last: number): Promise<Uint8Array> {
  const cols = tensor.shape[1];
  const wide = Math.ceil(cols / groupSize) * groupSize;
  if (layout === 'half') {
    const rowBytes = cols * 2;
    const read = await tensor.read(first * rowBytes, last * rowBytes);
    if (wide === cols) return read;
    const to = new Uint8Array((last - first) * wide * 2);
    for (let r = 0; r < last - first; r++) to.set(read.subarray(r * rowBytes, (r + 1) * rowBytes), r * wide * 2);
    return to;
  }
  const values = given ?? await readFloats(tensor, first, last);
  const to = new Float32Array((last - first) * wide);
  for (let r = 0; r < last - first; r++) to.set(values.subarray(r * cols, (r + 1) * cols), r * wide);
  return new Uint8Array(to.buffer);
}
