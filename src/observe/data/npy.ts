/**
 * NumPy array files: `.npy` (versions 1.0 to 3.0, C or Fortran order, little or big endian).
 * The header is a Python literal; only the three keys of the format are understood, so nothing in a file is ever evaluated.
 */
import { defineErrors } from '../../errors.ts';
import { elementCount, elementTypes, type ElementType } from '../../tensor-ref.ts';
import type { Tensor, TensorData } from '../../engine/tensor.ts';

/** NumPy itself writes under 200 bytes; version 2 exists for long record types, which are refused. */
export const maxHeaderBytes = 64 * 1024;
/** ONNX tensors rarely pass 8 dimensions; NumPy allows 64. */
export const maxRank = 32;

const errors = defineErrors('npy', {
  badMagic: (f: { name: string }) => `${f.name}: not a .npy file (its first bytes are not \\x93NUMPY)`,
  badVersion: (f: { name: string; version: string }) => `${f.name}: .npy version ${f.version} (known: 1.0, 2.0, 3.0)`,
  truncatedHeader: (f: { name: string; size: number }) => `${f.name}: .npy header does not fit into ${f.size} bytes`,
  headerTooLong: (f: { name: string; length: number }) => `${f.name}: .npy header of ${f.length} bytes (limit ${maxHeaderBytes})`,
  badHeader: (f: { name: string; missing: string }) => `${f.name}: .npy header has no readable '${f.missing}'`,
  badType: (f: { name: string; descr: string }) =>
    [`${f.name}: .npy element type ${f.descr} is not a plain number type`, 'save it as float32, int64 or uint8'] as const,
  badShape: (f: { name: string; shape: string }) => `${f.name}: .npy shape (${f.shape}) is not a tuple of at most ${maxRank} sizes`,
  wrongLength: (f: { name: string; expected: number; found: number }) =>
    `${f.name}: .npy shape and type need ${f.expected} bytes of data, found ${f.found}`,
  unwritable: (f: { type: string }) => `element type ${f.type} has no .npy spelling`,
});

const descrToType: Readonly<Record<string, ElementType>> = {
  f8: 'f64', f4: 'f32', f2: 'f16', i8: 'i64', i4: 'i32', i2: 'i16', i1: 'i8', u8: 'u64', u4: 'u32', u2: 'u16', u1: 'u8', b1: 'bool',
};

/** Typed array over `bytes`, which must start on an element boundary; f16 stays bit patterns. */
export function typedData(type: ElementType, bytes: Uint8Array): TensorData {
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  switch (type) {
    case 'f64': return new Float64Array(buffer, byteOffset, byteLength / 8);
    case 'f32': return new Float32Array(buffer, byteOffset, byteLength / 4);
    case 'i64': return new BigInt64Array(buffer, byteOffset, byteLength / 8);
    case 'u64': return new BigUint64Array(buffer, byteOffset, byteLength / 8);
    case 'i32': return new Int32Array(buffer, byteOffset, byteLength / 4);
    case 'u32': return new Uint32Array(buffer, byteOffset, byteLength / 4);
    case 'i16': return new Int16Array(buffer, byteOffset, byteLength / 2);
    case 'u16': case 'f16': case 'bf16': return new Uint16Array(buffer, byteOffset, byteLength / 2);
    case 'i8': return new Int8Array(buffer, byteOffset, byteLength);
    default: return new Uint8Array(buffer, byteOffset, byteLength);
  }
}

/** The array of a `.npy` file, in C order. Throws one line per way the file can be wrong. */
export function readNpy(bytes: Uint8Array, name = 'array'): Tensor {
  const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
  if (bytes.length < 10 || magic.some((byte, i) => bytes[i] !== byte)) throw errors.badMagic({ name });
  const [major, minor] = [bytes[6], bytes[7]];
  if (minor !== 0 || major < 1 || major > 3) throw errors.badVersion({ name, version: `${major}.${minor}` });
  if (major > 1 && bytes.length < 12) throw errors.truncatedHeader({ name, size: bytes.length });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const begin = major === 1 ? 10 : 12;
  if (length > maxHeaderBytes) throw errors.headerTooLong({ name, length });
  if (begin + length > bytes.length) throw errors.truncatedHeader({ name, size: bytes.length });
  const header = new TextDecoder().decode(bytes.subarray(begin, begin + length));

  const descr = /'descr'\s*:\s*'([<>|=]?)([a-zA-Z]\d{1,4})'/.exec(header);
  if (descr === null) {
    if (/'descr'\s*:\s*\[/.test(header)) throw errors.badType({ name, descr: 'record' });
    throw errors.badHeader({ name, missing: 'descr' });
  }
  const type = Object.hasOwn(descrToType, descr[2]) ? descrToType[descr[2]] : undefined;
  if (type === undefined) throw errors.badType({ name, descr: descr[2] });
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header);
  if (order === null) throw errors.badHeader({ name, missing: 'fortran_order' });
  const tuple = /'shape'\s*:\s*\(([^()]*)\)/.exec(header);
  if (tuple === null) throw errors.badHeader({ name, missing: 'shape' });
  const shape = shapeOf(tuple[1], name);

  const width = elementTypes[type].bits / 8;
  const expected = elementCount(shape, name) * width;
  const data = bytes.subarray(begin + length);
  if (data.length !== expected) throw errors.wrongLength({ name, expected, found: data.length });
  let little = data.slice();
  if (descr[1] === '>') little = swapped(little, width);
  if (order[1] === 'True' && shape.length > 1) little = rowMajor(little, shape, width);
  return { type, shape, data: typedData(type, little) };
}

function shapeOf(text: string, name: string): number[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.at(-1) === '') parts.pop();
  if (parts.length > maxRank || parts.some((part) => !/^\d{1,15}$/.test(part))) throw errors.badShape({ name, shape: text.slice(0, 80) });
  return parts.map(Number);
}

function swapped(bytes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += width) {
    for (let k = 0; k < width; k++) out[at + k] = bytes[at + width - 1 - k];
  }
  return out;
}

/** Fortran order counts the first axis fastest. */
function rowMajor(bytes: Uint8Array, shape: readonly number[], width: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length);
  const index = new Array<number>(shape.length).fill(0);
  const strides: number[] = [];
  shape.reduce((stride, size, axis) => { strides[axis] = stride; return stride * size; }, 1);
  for (let to = 0; to < bytes.length; to += width) {
    let from = 0;
    for (let axis = 0; axis < shape.length; axis++) from += index[axis] * strides[axis];
    for (let k = 0; k < width; k++) out[to + k] = bytes[from * width + k];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
  return out;
}

/** A version 1.0 `.npy` file; same tensor, same bytes. */
export function writeNpy(tensor: Tensor): Uint8Array {
  const descr = Object.keys(descrToType).find((key) => descrToType[key] === tensor.type);
  if (descr === undefined) throw errors.unwritable({ type: tensor.type });
  const byteOrder = elementTypes[tensor.type].bits === 8 ? '|' : '<';
  const shape = tensor.shape.length === 1 ? `${tensor.shape[0]},` : tensor.shape.join(', ');
  const literal = `{'descr': '${byteOrder}${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  // The format asks that data begin at a multiple of 64 bytes; the header ends in a line feed.
  const length = Math.ceil((10 + literal.length + 1) / 64) * 64 - 10;
  const { buffer, byteOffset, byteLength } = tensor.data;
  const out = new Uint8Array(10 + length + byteLength);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 255, length >> 8]);
  out.set(new TextEncoder().encode(literal.padEnd(length - 1) + '\n'), 10);
  out.set(new Uint8Array(buffer, byteOffset, byteLength), 10 + length);
  return out;
}
