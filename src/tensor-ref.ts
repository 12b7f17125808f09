/**
 * A tensor that lies in a file or in memory: described now, read when asked.
 * Everything that holds weights (safetensors, GGUF, ONNX, graphs) speaks of tensors this way,
 * so that a model of any size is a small object.
 */
import { defineErrors } from './errors.ts';
import type { CodedMatrix } from './formats/coded.ts';

/** Element types whose tensors are plain arrays; sub-byte types pack low bits first. */
export const elementTypes = {
  f64: { bits: 64 }, f32: { bits: 32 }, f16: { bits: 16 }, bf16: { bits: 16 },
  i64: { bits: 64 }, i32: { bits: 32 }, i16: { bits: 16 }, i8: { bits: 8 },
  u64: { bits: 64 }, u32: { bits: 32 }, u16: { bits: 16 }, u8: { bits: 8 },
  bool: { bits: 8 },
  f8_e4m3: { bits: 8 }, f8_e5m2: { bits: 8 }, f8_e8m0: { bits: 8 },
  i4: { bits: 4 }, u4: { bits: 4 }, f4_e2m1: { bits: 4 }, i2: { bits: 2 }, u2: { bits: 2 },
} as const;
export type ElementType = keyof typeof elementTypes;

/** ggml block types: `block` values stored in `bytes` bytes. Ids are those of the GGUF file format. */
export const blockTypes = {
  q4_0: { id: 2, block: 32, bytes: 18 }, q4_1: { id: 3, block: 32, bytes: 20 },
  q5_0: { id: 6, block: 32, bytes: 22 }, q5_1: { id: 7, block: 32, bytes: 24 },
  q8_0: { id: 8, block: 32, bytes: 34 }, q8_1: { id: 9, block: 32, bytes: 36 },
  q2_k: { id: 10, block: 256, bytes: 84 }, q3_k: { id: 11, block: 256, bytes: 110 },
  q4_k: { id: 12, block: 256, bytes: 144 }, q5_k: { id: 13, block: 256, bytes: 176 },
  q6_k: { id: 14, block: 256, bytes: 210 }, q8_k: { id: 15, block: 256, bytes: 292 },
  iq2_xxs: { id: 16, block: 256, bytes: 66 }, iq2_xs: { id: 17, block: 256, bytes: 74 },
  iq3_xxs: { id: 18, block: 256, bytes: 98 }, iq1_s: { id: 19, block: 256, bytes: 50 },
  iq4_nl: { id: 20, block: 32, bytes: 18 }, iq3_s: { id: 21, block: 256, bytes: 110 },
  iq2_s: { id: 22, block: 256, bytes: 82 }, iq4_xs: { id: 23, block: 256, bytes: 136 },
  iq1_m: { id: 29, block: 256, bytes: 56 },
  tq1_0: { id: 34, block: 256, bytes: 54 }, tq2_0: { id: 35, block: 256, bytes: 66 },
  mxfp4: { id: 39, block: 32, bytes: 17 }, nvfp4: { id: 40, block: 64, bytes: 36 },
  q1_0: { id: 41, block: 128, bytes: 18 }, q2_0: { id: 42, block: 64, bytes: 18 },
} as const;
export type BlockType = keyof typeof blockTypes;

export type TensorType = ElementType | BlockType;

export const isBlockType = (type: TensorType): type is BlockType => type in blockTypes;

/** Row-major, little-endian, innermost dimension last. */
export interface TensorRef {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Of a matrix that is a view: the matrix whose transpose it is, so that columns can be read as rows of that one. */
  readonly transposeOf?: TensorRef;
  /** Of a matrix of floats that is codes where it is stored: those codes. */
  readonly coded?: CodedMatrix;
  /** Raw bytes `[begin, end)` of the tensor; the whole tensor without arguments. The caller owns the result. */
  read(begin?: number, end?: number): Promise<Uint8Array>;
}

const errors = defineErrors('tensor', {
  tooLarge: (f: { name: string; shape: readonly number[] }) =>
    `tensor ${f.name}: shape [${f.shape.join(', ')}] has more elements than can be addressed`,
  partialBlock: (f: { type: string; width: number; block: number }) =>
    `type ${f.type} needs rows divisible by ${f.block}, got ${f.width}`,
});

/** Number of elements; throws before the product leaves the safe integers. */
export function elementCount(shape: readonly number[], name = 'unnamed'): number {
  let count = 1;
  for (const dim of shape) {
    count *= dim;
    if (!Number.isSafeInteger(count) || count < 0) throw errors.tooLarge({ name, shape });
  }
  return count;
}

/** Bytes of a tensor of this type and shape. */
export function byteLengthOf(type: TensorType, shape: readonly number[], name = 'unnamed'): number {
  const count = elementCount(shape, name);
  if (isBlockType(type)) {
    const { block, bytes } = blockTypes[type];
    const width = shape.at(-1) ?? 1;
    if (width % block !== 0) throw errors.partialBlock({ type, width, block });
    return (count / block) * bytes;
  }
  return Math.ceil((count * elementTypes[type].bits) / 8);
}

/** A tensor whose bytes are already in memory. */
export function memoryTensor(name: string, type: TensorType, shape: readonly number[], bytes: Uint8Array): TensorRef {
  return {
    name, type, shape, byteLength: bytes.byteLength,
    read: async (begin = 0, end = bytes.byteLength) => bytes.slice(begin, end),
  };
}

/** A float32 array as a tensor; the array is shared, not copied. */
export function floatTensor(name: string, shape: readonly number[], values: Float32Array): TensorRef {
  return memoryTensor(name, 'f32', shape, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
}

/** A tensor about to be written: its size is known up front, its bytes are made in order when asked, once. */
export interface TensorOut {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly byteLength: number;
  chunks(): AsyncIterable<Uint8Array>;
}

/** Bytes per chunk when a tensor is streamed: large enough for the disk, small beside any model. */
export const chunkBytes = 8 * 1024 * 1024;

/** A tensor written as it was read. */
export function copyTensor(tensor: TensorRef, name = tensor.name): TensorOut {
  return {
    name, type: tensor.type, shape: tensor.shape, byteLength: tensor.byteLength,
    async *chunks() {
      for (let begin = 0; begin < tensor.byteLength; begin += chunkBytes) {
        yield await tensor.read(begin, Math.min(begin + chunkBytes, tensor.byteLength));
      }
    },
  };
}
