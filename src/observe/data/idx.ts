/** IDX files, the layout of the MNIST family: two zero bytes, element type, rank, big-endian sizes, data. */
import { gunzipBounded } from './gzip.ts';
import { defineErrors } from '../../errors.ts';
import { elementCount, elementTypes, type ElementType } from '../../tensor-ref.ts';
import type { Tensor } from '../../engine/tensor.ts';
import { typedData } from './npy.ts';

const errors = defineErrors('idx', {
  badMagic: (f: { name: string }) => `${f.name}: not an IDX file`,
  badType: (f: { name: string; code: number }) => `${f.name}: IDX element type 0x${f.code.toString(16)} is unknown`,
  wrongLength: (f: { name: string; expected: number; found: number }) => `${f.name}: IDX shape needs ${f.expected} bytes, found ${f.found}`,
});

const types: Readonly<Record<number, ElementType>> = { 0x08: 'u8', 0x09: 'i8', 0x0b: 'i16', 0x0c: 'i32', 0x0d: 'f32', 0x0e: 'f64' };

/** The array of an IDX file, gzip-compressed or not. */
export function readIdx(file: Uint8Array, name = 'idx'): Tensor {
  const bytes = file[0] === 0x1f && file[1] === 0x8b ? gunzipBounded(file, name) : file;
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) throw errors.badMagic({ name });
  const type = types[bytes[2]];
  if (type === undefined) throw errors.badType({ name, code: bytes[2] });
  const rank = bytes[3];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const begin = 4 + 4 * rank;
  if (begin > bytes.length) throw errors.wrongLength({ name, expected: begin, found: bytes.length });
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis, false));
  const width = elementTypes[type].bits / 8;
  const expected = begin + elementCount(shape, name) * width;
  if (bytes.length !== expected) throw errors.wrongLength({ name, expected, found: bytes.length });
  const data = bytes.slice(begin);
  for (let at = 0; at < data.length && width > 1; at += width) data.subarray(at, at + width).reverse();
  return { type, shape, data: typedData(type, data) };
}
