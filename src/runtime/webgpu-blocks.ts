/** ggml blocks in the layouts of the WebGPU kernels, value for value. */
import { groupSize } from '../engine/webgpu/inputs.ts';
import { formOf, type MatrixLayout } from '../engine/webgpu/matrix-layout.ts';
import { blockTypes, type BlockType, type TensorRef } from '../tensor-ref.ts';
import { emptyBlock, packedTypes, type PackedType } from './packed-forms.ts';
import { unpackers, type Unpacker } from './unpack.ts';
import { groupWriter, type GroupWriter, type PackedRows } from './webgpu-groups.ts';

/** Blocks that the CPU multiplies by their codes of two and three bits, or by a table. Those of TQ2_0 have all scales 1, and minima too. */
const packedLayouts: Partial<Record<BlockType, MatrixLayout>> = {
  q2_k: 'two-fine', q3_k: 'three-fine', tq2_0: 'two-fine', iq4_nl: 'table', iq4_xs: 'table-float', mxfp4: 'table-float', nvfp4: 'table-halves',
};

/** Types without codes for the kernels are floats. */
export function layoutOfBlocks(type: BlockType): MatrixLayout {
  const packed = packedLayouts[type];
  if (packed !== undefined) return packed;
  const { layout } = unpackers[type] ?? { layout: 'float' as const };
  // Of four bits, only q4_0 has its minimum at eight steps.
  return layout === 'four' && type !== 'q4_0' ? 'four-minima' : layout;
}

/** Rows from `first` to `last`. */
export async function packBlocks(tensor: TensorRef, layout: MatrixLayout, first: number, last: number): Promise<PackedRows> {
  const type = tensor.type as BlockType;
  const { block, bytes } = blockTypes[type];
  const rowBytes = (tensor.shape[1] / block) * bytes;
  const read = await tensor.read(first * rowBytes, last * rowBytes);
  const to = groupWriter(layout, (read.byteLength / bytes) * (block / groupSize));
  const packed = packedTypes[type];
  const put = packed === undefined ? integerBlocks(unpackers[type]!, layout, block, to) : packedBlocks(type, packed, block, to);
  for (let b = 0; b * bytes < read.byteLength; b++) put(read, b * bytes, b * (block / groupSize));
  return to;
}

/** Puts the block at `at` where its first group is. */
type Put = (read: Uint8Array, at: number, group: number) => void;

function integerBlocks({ unpack }: Unpacker, layout: MatrixLayout, block: number, to: GroupWriter): Put {
  const { halves = false } = formOf(layout);
  const [codes, scales, mins] = [new Int8Array(block), new Float32Array(block / 16), new Float32Array(block / groupSize)];
  return (read, at, group) => {
    unpack(read, at, codes, scales, mins);
    for (let k = 0; k < block / groupSize; k++) {
      to.putCodes(group + k, codes, k * groupSize);
      if (halves) to.putSides(group + k, scales[2 * k], scales[2 * k + 1]);
      else to.putSides(group + k, scales[k], mins[k]);
    }
  };
}

function packedBlocks(type: BlockType, { form, unpack }: PackedType, block: number, to: GroupWriter): Put {
  const room = emptyBlock(block);
  const { codes, scales, scaleCodes, minCodes } = room;
  return (read, at, group) => {
    unpack(read, at, room);
    for (let k = 0; k < block / groupSize; k++) {
      to.putCodes(group + k, codes, k * groupSize);
      if (form.bits < 4) continue;
      if (form.fine) to.putSides(group + k, room.d * scaleCodes[k]);
      else if (form.halves) to.putSides(group + k, scales[2 * k], scales[2 * k + 1]);
      else to.putSides(group + k, scales[k]);
    }
    if (type === 'q2_k') to.putFine(group, room.d, room.dmin, scaleCodes.map((scale, j) => scale | (minCodes[j] << 4)));
    else if (type === 'q3_k') to.putFine(group, room.d, 0, scaleCodes);
    else if (type === 'tq2_0') to.putFine(group, room.d, room.d, scaleCodes.fill(0x11));
  };
}
