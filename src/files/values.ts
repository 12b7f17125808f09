/** Stored tensors as float32, whatever type they are stored in. */
import { defineErrors } from '../errors.ts';
import { decodeBlocks } from '../formats/ggml/index.ts';
import { decodeE8M0, decodeMiniFloat, e2m1, e4m3, e5m2 } from '../formats/minifloat-code.ts';
import { decodeBf16, decodeF16 } from '../numeric/half.ts';
import { blockTypes, byteLengthOf, elementCount, elementTypes, isBlockType } from '../tensor-ref.ts';
import type { ElementType, TensorRef } from '../tensor-ref.ts';

const errors = defineErrors('values', {
  rows: (f: { name: string; begin: number; end: number; rows: number }) => `tensor ${f.name}: rows [${f.begin}, ${f.end}) lie outside its ${f.rows} rows`,
  partialByte: (f: { name: string; width: number }) => `tensor ${f.name}: rows of ${f.width} values do not begin on a byte boundary`,
  length: (f: { name: string; got: number; need: number }) => `tensor ${f.name}: stored in ${f.got} bytes, its shape needs ${f.need}`,
});

const signed = (code: number, bits: number): number => (code << (32 - bits)) >> (32 - bits);

/** The same bytes where a typed array may begin. */
const aligned = (bytes: Uint8Array, size: number): Uint8Array => (bytes.byteOffset % size === 0 ? bytes : Uint8Array.from(bytes));

function patternsOf(bytes: Uint8Array, count: number): Uint16Array {
  const { buffer, byteOffset } = aligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, count);
}

/** The types that weights come in, a whole array at a time. */
const decoders = {
  f32: (bytes: Uint8Array, count: number): Float32Array => {
    const { buffer, byteOffset } = aligned(bytes, 4);
    // A copy: the source may hand out its own memory.
    return new Float32Array(buffer, byteOffset, count).slice();
  },
  f16: (bytes: Uint8Array, count: number) => decodeF16(patternsOf(bytes, count)),
  bf16: (bytes: Uint8Array, count: number) => decodeBf16(patternsOf(bytes, count)),
};
const isWeightType = (type: ElementType): type is keyof typeof decoders => Object.hasOwn(decoders, type);

/** One value of any other element type `type` at index `i`; sub-byte types are packed low bits first. */
const getters: Readonly<Record<Exclude<ElementType, keyof typeof decoders>, (view: DataView, i: number) => number>> = {
  f64: (v, i) => v.getFloat64(i * 8, true),
  i64: (v, i) => Number(v.getBigInt64(i * 8, true)), i32: (v, i) => v.getInt32(i * 4, true),
  i16: (v, i) => v.getInt16(i * 2, true), i8: (v, i) => v.getInt8(i),
  u64: (v, i) => Number(v.getBigUint64(i * 8, true)), u32: (v, i) => v.getUint32(i * 4, true),
  u16: (v, i) => v.getUint16(i * 2, true), u8: (v, i) => v.getUint8(i), bool: (v, i) => (v.getUint8(i) === 0 ? 0 : 1),
  f8_e4m3: (v, i) => decodeMiniFloat(v.getUint8(i), e4m3), f8_e5m2: (v, i) => decodeMiniFloat(v.getUint8(i), e5m2),
  f8_e8m0: (v, i) => decodeE8M0(v.getUint8(i)),
  i4: (v, i) => signed((v.getUint8(i >> 1) >> ((i & 1) * 4)) & 15, 4), u4: (v, i) => (v.getUint8(i >> 1) >> ((i & 1) * 4)) & 15,
  f4_e2m1: (v, i) => decodeMiniFloat((v.getUint8(i >> 1) >> ((i & 1) * 4)) & 15, e2m1),
  i2: (v, i) => signed((v.getUint8(i >> 2) >> ((i & 3) * 2)) & 3, 2), u2: (v, i) => (v.getUint8(i >> 2) >> ((i & 3) * 2)) & 3,
};

/**
 * Rows `[beginRow, endRow)` as float32, row-major; a row is the last dimension, rows are all others together.
 * Wider types round to the nearest float32. Throws when the rows do not exist.
 */
export async function readFloats(tensor: TensorRef, beginRow = 0, endRow?: number): Promise<Float32Array> {
  const { name, type, shape } = tensor;
  const width = shape.at(-1) ?? 1;
  const rows = elementCount(shape.slice(0, -1), name);
  const end = endRow ?? rows;
  if (!(beginRow >= 0 && beginRow <= end && end <= rows)) throw errors.rows({ name, begin: beginRow, end, rows });
  const need = byteLengthOf(type, shape, name);
  if (need !== tensor.byteLength) throw errors.length({ name, got: tensor.byteLength, need });
  const count = (end - beginRow) * width;
  if (isBlockType(type)) {
    const stride = (width / blockTypes[type].block) * blockTypes[type].bytes;
    const bytes = await tensor.read(beginRow * stride, end * stride);
    return decodeBlocks(type, bytes, new Float32Array(count));
  }
  const bits = elementTypes[type].bits;
  const perByte = 8 / bits;
  if (bits < 8 && (beginRow * width) % perByte !== 0) throw errors.partialByte({ name, width });
  const bytes = await tensor.read(beginRow * width / perByte, Math.ceil(end * width / perByte));
  if (isWeightType(type)) return decoders[type](bytes, count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get = getters[type];
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = get(view, i);
  return out;
}
