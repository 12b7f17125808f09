/** Matrices repacked for the WebGPU kernels: several that read the same inputs stand below each other in one. */
import type { Gpu } from '../engine/webgpu/gpu.ts';
import { groupSize, type InputKind } from '../engine/webgpu/inputs.ts';
import { hasHalfScales, isLowBit, layoutBytes, type MatrixLayout } from '../engine/webgpu/matrix-layout.ts';
import { readFloats } from '../files/values.ts';
import type { MatrixCodes } from '../formats/coded.ts';
import { f32ToF16 } from '../numeric/half.ts';
import { blockTypes, isBlockType, type TensorRef } from '../tensor-ref.ts';
import { layoutOfCodes, packCodes } from './webgpu-codes.ts';
import { unpackers } from './unpack.ts';

export interface GpuMatrix {
  readonly layout: MatrixLayout;
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 columns, the last padded with zeros. */
  readonly groups: number;
  /** Codes and, where there are scales, what goes with them: in the order that kernels bind them. */
  readonly buffers: readonly GPUBuffer[];
}

/** Bytes read at a time: 16 MiB. */
const readAtOnce = 2 ** 24;

/** A matrix with the layout that it takes, and its codes where other formats than blocks hold some. */
export interface LaidMatrix { readonly tensor: TensorRef; readonly layout: MatrixLayout; readonly codes?: MatrixCodes }

/** Reads the codes of a matrix, whose values decide the layout. */
export async function laidMatrix(tensor: TensorRef): Promise<LaidMatrix> {
  const codes = tensor.coded?.rotated === true ? undefined : await tensor.coded?.read();
  const layout = codes === undefined ? undefined : layoutOfCodes(codes, tensor.shape[1]);
  return codes === undefined || layout === undefined ? { tensor, layout: layoutOf(tensor) } : { tensor, layout, codes };
}

function layoutOf({ type }: TensorRef): MatrixLayout {
  if (type === 'f16') return 'half';
  const unpacker = isBlockType(type) ? unpackers[type] : undefined;
  if (unpacker === undefined) return 'float';
  // Of four bits, only q4_0 has its minimum at eight steps.
  return unpacker.layout === 'four' && type !== 'q4_0' ? 'four-minima' : unpacker.layout;
}

/** Inputs that a layout is multiplied with, where `wanted` is asked for: float weights take no rounded ones. */
export const inputsFor = (layout: MatrixLayout, wanted: InputKind): InputKind => (wanted === 'rounded' && !isLowBit(layout) ? 'float' : wanted);

/** Matrices [rows, cols] of one layout, one below the other, on the device. */
export async function uploadMatrix(gpu: Gpu, laid: readonly LaidMatrix[]): Promise<GpuMatrix> {
  const [{ layout, tensor: { shape: [, cols] } }] = laid;
  const tensors = laid.map(({ tensor }) => tensor);
  const rows = tensors.reduce((sum, { shape }) => sum + shape[0], 0);
  const groups = Math.ceil(cols / groupSize);
  const { codes, sides } = layoutBytes[layout];
  const name = tensors.map((tensor) => tensor.name).join(' + ');
  const buffers = [gpu.buffer(name, rows * groups * codes)];
  if (sides > 0) buffers.push(gpu.buffer(`scales of ${name}`, rows * groups * sides));
  let below = 0;
  for (const { tensor, codes: matrix } of laid) {
    const rowBytes = tensor.byteLength / tensor.shape[0];
    // Whole words of scales: an even number of rows at a time.
    const atOnce = Math.max(2, 2 * Math.floor(readAtOnce / Math.max(rowBytes, groups * codes) / 2));
    for (let first = 0; first < tensor.shape[0]; first += atOnce) {
      const last = Math.min(tensor.shape[0], first + atOnce);
      const at = (below + first) * groups;
      const packed = matrix !== undefined ? packCodes(matrix, layout, cols, first, last) : isLowBit(layout) ? await packBlocks(tensor, layout, groups, first, last) : { codes: await packFloats(tensor, layout, groups, first, last), sides: undefined };
      gpu.write(buffers[0], at * codes, packed.codes);
      if (packed.sides !== undefined) gpu.write(buffers[1], at * sides, packed.sides);
    }
    below += tensor.shape[0];
  }
  return { layout, rows, cols, groups, buffers };
}

async function packFloats(tensor: TensorRef, layout: MatrixLayout, groups: number, first: number, last: number): Promise<Uint8Array> {
  const cols = tensor.shape[1];
  const wide = groups * groupSize;
  if (layout === 'half') {
    const rowBytes = cols * 2;
    const read = await tensor.read(first * rowBytes, last * rowBytes);
    if (wide === cols) return read;
    const to = new Uint8Array((last - first) * wide * 2);
    for (let r = 0; r < last - first; r++) to.set(read.subarray(r * rowBytes, (r + 1) * rowBytes), r * wide * 2);
    return to;
  }
  const values = await readFloats(tensor, first, last);
  const to = new Float32Array((last - first) * wide);
  for (let r = 0; r < last - first; r++) to.set(values.subarray(r * cols, (r + 1) * cols), r * wide);
  return new Uint8Array(to.buffer);
}

async function packBlocks(tensor: TensorRef, layout: MatrixLayout, groups: number, first: number, last: number): Promise<{ readonly codes: Uint8Array; readonly sides: Uint8Array }> {
  const type = tensor.type as keyof typeof unpackers;
  const { block, bytes: blockBytes } = blockTypes[type];
  const { unpack } = unpackers[type]!;
  const inBlock = block / groupSize;
  const rowBlocks = tensor.shape[1] / block;
  const read = await tensor.read(first * rowBlocks * blockBytes, last * rowBlocks * blockBytes);
  const { codes: codeBytes, sides: sideBytes } = layoutBytes[layout];
  const count = (last - first) * groups;
  const W = new Uint8Array(count * codeBytes);
  const halfScales = hasHalfScales(layout);
  const S = new Uint8Array(count * sideBytes);
  const [S16, S32] = [new Uint16Array(S.buffer, 0, S.byteLength >> 1), new Float32Array(S.buffer, 0, S.byteLength >> 2)];
  const codes = new Int8Array(block);
  const scales = new Float32Array(inBlock * (layout === 'eight-halves' ? 2 : 1));
  const mins = new Float32Array(inBlock);
  for (let b = 0; b < (last - first) * rowBlocks; b++) {
    unpack(read, b * blockBytes, codes, scales, mins);
    for (let k = 0; k < inBlock; k++) {
      const group = b * inBlock + k;
      if (halfScales) S16[group] = f32ToF16(scales[k]);
      else if (layout === 'eight-halves') S32.set(scales.subarray(2 * k, 2 * k + 2), 2 * group);
      else {
        S32[2 * group] = scales[k];
        S32[2 * group + 1] = mins[k];
      }
      const at = group * codeBytes;
      if (codeBytes === 32) for (let i = 0; i < 32; i++) W[at + i] = codes[k * groupSize + i];
      else for (let i = 0; i < 16; i++) W[at + i] = codes[k * groupSize + i] | (codes[k * groupSize + 16 + i] << 4);
    }
  }
  return { codes: W, sides: S };
}
