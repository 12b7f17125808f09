/** Numbers of tensors: read as float32 or as plain numbers, and made again in the type they had. */
import { defineErrors } from '../errors.ts';
import { byteLengthOf, elementCount, elementTypes, isBlockType, memoryTensor, type ElementType, type TensorRef, type TensorType } from '../tensor-ref.ts';
import { toInt64 } from './build.ts';
import { bf16ToF32, decodeBf16, decodeF16, f16ToF32, f32ToBf16, f32ToF16 } from '../numeric/half.ts';

const errors = defineErrors('values', {
  type: (f: { name: string; type: string; wanted: string }) => `tensor ${f.name}: type ${f.type} has no ${f.wanted}`,
  count: (f: { name: string; expected: number; found: number }) => `tensor ${f.name}: ${f.expected} values expected, ${f.found} given`,
});

/** Types that hold whole bytes and convert to plain numbers. */
type NumberType = Exclude<ElementType, 'f8_e4m3' | 'f8_e5m2' | 'f8_e8m0' | 'f4_e2m1' | 'i4' | 'u4' | 'i2' | 'u2'>;

const getters: Readonly<Record<NumberType, (view: DataView, at: number) => number>> = {
  f64: (view, at) => view.getFloat64(at, true), f32: (view, at) => view.getFloat32(at, true),
  f16: (view, at) => f16ToF32(view.getUint16(at, true)), bf16: (view, at) => bf16ToF32(view.getUint16(at, true)),
  i64: (view, at) => Number(view.getBigInt64(at, true)), i32: (view, at) => view.getInt32(at, true),
  i16: (view, at) => view.getInt16(at, true), i8: (view, at) => view.getInt8(at),
  u64: (view, at) => Number(view.getBigUint64(at, true)), u32: (view, at) => view.getUint32(at, true),
  u16: (view, at) => view.getUint16(at, true), u8: (view, at) => view.getUint8(at), bool: (view, at) => view.getUint8(at),
};

const setters: Readonly<Record<NumberType, (view: DataView, at: number, value: number) => void>> = {
  f64: (view, at, value) => view.setFloat64(at, value, true), f32: (view, at, value) => view.setFloat32(at, value, true),
  f16: (view, at, value) => view.setUint16(at, f32ToF16(value), true), bf16: (view, at, value) => view.setUint16(at, f32ToBf16(value), true),
  i64: (view, at, value) => view.setBigInt64(at, toInt64(value), true), i32: (view, at, value) => view.setInt32(at, value, true),
  i16: (view, at, value) => view.setInt16(at, value, true), i8: (view, at, value) => view.setInt8(at, value),
  u64: (view, at, value) => view.setBigUint64(at, BigInt(value), true), u32: (view, at, value) => view.setUint32(at, value, true),
  u16: (view, at, value) => view.setUint16(at, value, true), u8: (view, at, value) => view.setUint8(at, value),
  bool: (view, at, value) => view.setUint8(at, value === 0 ? 0 : 1),
};

/** True for the types whose values are plain numbers of whole bytes. */
export const isNumberType = (type: TensorType | undefined): type is NumberType => type !== undefined && type in getters;
/** True for the floating-point types that weights come in. */
export const isFloatType = (type: TensorType | 'string' | undefined): type is 'f32' | 'f16' | 'bf16' | 'f64' =>
  type === 'f32' || type === 'f16' || type === 'bf16' || type === 'f64';

/** Values `[begin, end)` of a tensor as float32; the whole tensor without arguments. Bytes hold plain numbers, not packed codes. */
export async function readFloats(tensor: TensorRef, begin = 0, end = elementCount(tensor.shape, tensor.name)): Promise<Float32Array> {
  const { name, type } = tensor;
  if (!isNumberType(type)) throw errors.type({ name, type, wanted: 'float32 values' });
  const width = elementTypes[type].bits / 8;
  const bytes = await tensor.read(begin * width, end * width);
  if (type === 'f32' && bytes.byteOffset % 4 === 0) return new Float32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, end - begin);
  if ((type === 'f16' || type === 'bf16') && bytes.byteOffset % 2 === 0) {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, end - begin);
    return type === 'f16' ? decodeF16(halves) : decodeBf16(halves);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get = getters[type];
  const out = new Float32Array(end - begin);
  for (let i = 0; i < out.length; i++) out[i] = get(view, i * width);
  return out;
}

/** All values of a tensor as numbers; int64 values beyond 2^53 are rounded. For small tensors: axes, shapes, scalars. */
export async function readNumbers(tensor: TensorRef): Promise<number[]> {
  const { name, type } = tensor;
  if (!isNumberType(type)) throw errors.type({ name, type, wanted: 'plain numbers' });
  const width = elementTypes[type].bits / 8;
  const bytes = await tensor.read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength / width }, (_, i) => getters[type](view, i * width));
}

/** Values as bytes of an element type; floats are rounded to nearest even, integers must fit. */
export function encodeNumbers(type: NumberType, values: ArrayLike<number>): Uint8Array {
  const width = elementTypes[type].bits / 8;
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  const set = setters[type];
  for (let i = 0; i < values.length; i++) set(view, i * width, values[i]);
  return bytes;
}

/** A tensor of this type from its values. */
export function numberTensor(name: string, type: ElementType, shape: readonly number[], values: ArrayLike<number>): TensorRef {
  if (!isNumberType(type)) throw errors.type({ name, type, wanted: 'plain numbers' });
  const expected = elementCount(shape, name);
  if (values.length !== expected) throw errors.count({ name, expected, found: values.length });
  return memoryTensor(name, type, shape, encodeNumbers(type, values));
}

/** A tensor whose bytes are made when they are read, and again if memory was needed in between. */
export function lazyTensor(name: string, type: TensorType, shape: readonly number[], make: () => Promise<Uint8Array>): TensorRef {
  const byteLength = byteLengthOf(type, shape, name);
  let kept: WeakRef<Uint8Array> | undefined;
  let making: Promise<Uint8Array> | undefined;
  const bytes = async (): Promise<Uint8Array> => {
    const before = kept?.deref();
    if (before !== undefined) return before;
    making ??= make().finally(() => { making = undefined; });
    const made = await making;
    if (made.byteLength !== byteLength) throw errors.count({ name, expected: byteLength, found: made.byteLength });
    kept = new WeakRef(made);
    return made;
  };
  return { name, type, shape, byteLength, read: async (begin = 0, end = byteLength) => (await bytes()).slice(begin, end) };
}

/**
 * A tensor computed value by value from another of the same shape, while it is read: `change(values, first)` gets
 * float32 values and the index of the first, and changes them in place. Nothing is kept.
 */
export function mappedTensor(tensor: TensorRef, name: string, change: (values: Float32Array, first: number) => void | Promise<void>): TensorRef {
  const { type, shape, byteLength } = tensor;
  if (isBlockType(type) || !isFloatType(type)) throw errors.type({ name: tensor.name, type, wanted: 'float values to compute with' });
  const width = elementTypes[type].bits / 8;
  return {
    name, type, shape, byteLength,
    read: async (begin = 0, end = byteLength) => {
      const first = Math.floor(begin / width);
      const last = Math.ceil(end / width);
      const values = (await readFloats(tensor, first, last)).slice();
      await change(values, first);
      const bytes = encodeNumbers(type, values);
      return bytes.subarray(begin - first * width, end - first * width);
    },
  };
}
