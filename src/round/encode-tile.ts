/** A tile of rows from one stored type to another: the unit of work that threads share. Pure: equal jobs give equal bytes. */
import { encodeBlocksFast, hasKernel } from '../engine/kernels/ggml.ts';
import type { FloatType } from '../engine/kernels/ggml.ts';
import { defineErrors } from '../errors.ts';
import { blockTypes, elementTypes, isBlockType } from '../tensor-ref.ts';
import type { TensorType } from '../tensor-ref.ts';
import { checkScales, checkShape, decodeBlocks, encodeBlocks, isGgmlType, squaredErrorOf } from '../formats/ggml/index.ts';
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from '../numeric/half.ts';

export interface EncodeJob {
  /** How `bytes` is stored: f32, f16, bf16, or a block type that is decoded. */
  readonly source: TensorType;
  /** Row-major [rows, cols], little-endian. */
  readonly bytes: Uint8Array;
  readonly rows: number;
  readonly cols: number;
  /** f32, f16, bf16, or a block type that is encoded. */
  readonly target: TensorType;
  /** One weight ≥ 0 per column; element types have no use for it. */
  readonly importance?: Float32Array;
  /** Tensor name, for messages, and the tensor's row that the tile begins with. */
  readonly name?: string;
  readonly firstRow?: number;
  /** False leaves both sums NaN and saves their time. */
  readonly measure?: boolean;
}

export interface EncodeResult {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Σ (decoded − value)² and Σ value² of the tile, float64, in index order. */
  readonly squaredError: number;
  readonly sumOfSquares: number;
}

const errors = defineErrors('encode', {
  type: (f: { name: string; role: string; type: string }) =>
    [`${f.name}: ${f.type} is not a ${f.role} of encoding`, 'f32, f16, bf16 and the block types that are encoded here are'] as const,
  length: (f: { name: string; got: number; need: number }) => `${f.name}: ${f.got} bytes given, ${f.need} needed`,
  overflow: (f: { name: string; value: number; index: number; type: string }) =>
    [`${f.name}: value ${f.value} at index ${f.index} is beyond type ${f.type}`, 'use bf16 or f32 for this tensor'] as const,
});

const isFloat = (type: TensorType): type is FloatType => type === 'f32' || type === 'f16' || type === 'bf16';

/** Whether tiles of this type can be read or made. */
export const isTileType = (type: TensorType): boolean => isFloat(type) || isGgmlType(type);

/** Bytes of `count` values that fill whole blocks. */
export function tileBytes(type: TensorType, count: number): number {
  return isBlockType(type) ? (count / blockTypes[type].block) * blockTypes[type].bytes : (count * elementTypes[type].bits) / 8;
}

/** The same bytes where a typed array may begin. */
const aligned = (bytes: Uint8Array, size: number): Uint8Array => (bytes.byteOffset % size === 0 ? bytes : bytes.slice());

/** Values of a tile as float32; float32 itself is seen in place where it lies aligned. */
export function decodeTile(type: TensorType, bytes: Uint8Array, count: number): Float32Array {
  if (isBlockType(type)) return decodeBlocks(type, bytes, new Float32Array(count));
  const { buffer, byteOffset } = aligned(bytes, type === 'f32' ? 4 : 2);
  if (type === 'f32') return new Float32Array(buffer, byteOffset, count);
  const patterns = new Uint16Array(buffer, byteOffset, count);
  return type === 'f16' ? decodeF16(patterns) : decodeBf16(patterns);
}

const bytesOf = (values: { readonly buffer: ArrayBufferLike; readonly byteOffset: number; readonly byteLength: number }): Uint8Array<ArrayBuffer> =>
  new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);

function encodeValues(values: Float32Array, job: EncodeJob, name: string, firstIndex: number): Uint8Array<ArrayBuffer> {
  const { target, rows, cols, importance } = job;
  if (isBlockType(target)) return encodeBlocks(target, values, rows, cols, importance, name, job.firstRow) as Uint8Array<ArrayBuffer>;
  if (target === 'f32') return bytesOf(values.slice());
  const patterns = target === 'f16' ? encodeF16(values) : encodeBf16(values);
  const infinite = target === 'f16' ? 0x7c00 : 0x7f80;
  for (let i = 0; i < patterns.length; i++) {
    if ((patterns[i] & 0x7fff) === infinite && Math.abs(values[i]) < Infinity) {
      throw errors.overflow({ name, value: values[i], index: firstIndex + i, type: target });
    }
  }
  return bytesOf(patterns);
}

/** Blocks made by a kernel; undefined where there is none for this job, or where the plain encoder will refuse a value. */
function encodeFast(job: EncodeJob, name: string): Uint8Array<ArrayBuffer> | undefined {
  const { source, target, rows, cols, importance } = job;
  if (!isFloat(source) || !hasKernel(target, importance !== undefined)) return undefined;
  checkShape(target, rows * cols, rows, cols, importance);
  const bytes = encodeBlocksFast(target, source, job.bytes, rows, cols, importance);
  if (bytes) checkScales(target, bytes, cols, name, job.firstRow);
  return bytes;
}

/**
 * Encodes one tile. Throws on values that a block type cannot take (NaN, infinities, scales beyond half precision)
 * and on finite values that become infinite in f16 or bf16. A tile that keeps its type keeps its bytes.
 */
export function encodeTile(job: EncodeJob): EncodeResult {
  const { source, target, rows, cols, name = 'matrix', firstRow = 0, measure = true } = job;
  if (!isTileType(source)) throw errors.type({ name, role: 'source', type: source });
  if (!isTileType(target)) throw errors.type({ name, role: 'target', type: target });
  const count = rows * cols;
  const need = tileBytes(source, count);
  if (job.bytes.byteLength !== need) throw errors.length({ name, got: job.bytes.byteLength, need });
  if (source === target) {
    const squares = measure ? sumOfSquares(decodeTile(source, job.bytes, count)) : NaN;
    return { bytes: job.bytes.slice() as Uint8Array<ArrayBuffer>, squaredError: measure ? 0 : NaN, sumOfSquares: squares };
  }
  const fast = encodeFast(job, name);
  if (fast && !measure) return { bytes: fast, squaredError: NaN, sumOfSquares: NaN };
  const values = decodeTile(source, job.bytes, count);
  const bytes = fast ?? encodeValues(values, job, name, firstRow * cols);
  if (!measure) return { bytes, squaredError: NaN, sumOfSquares: NaN };
  return { bytes, squaredError: squaredErrorOf(values, decodeTile(target, bytes, count)), sumOfSquares: sumOfSquares(values) };
}

function sumOfSquares(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return sum;
}
