/** TensorProto: from its fields to a tensor that is read by range from the model file or the file beside it. */
import { onnxErrors as errors, limits } from './onnx-errors.ts';
import { elementTypeOf, onnxTypeName } from './onnx-types.ts';
import { wireTypes, type Parsing, type Wire } from './protobuf.ts';
import type { ByteSource } from './source.ts';
import { byteLengthOf, elementCount, elementTypes, memoryTensor, type ElementType, type TensorRef } from '../tensor-ref.ts';
import { varintReader } from './onnx-varint.ts';

/** Part of a file. */
export interface Range { readonly begin: number; readonly end: number }

/** Bytes of a tensor this small are kept instead of being fetched again at each use. */
const keptBytes = 256;

/** Fields that hold data, with the wire type of one value and the element types each may serve. */
const dataFields: Readonly<Record<number, { name: string; wire: number; types: readonly ElementType[] }>> = {
  4: { name: 'float_data', wire: wireTypes.fixed32, types: ['f32'] },
  5: {
    name: 'int32_data', wire: wireTypes.varint,
    types: ['i32', 'i16', 'i8', 'u16', 'u8', 'bool', 'f16', 'bf16', 'f8_e4m3', 'f8_e5m2', 'f8_e8m0', 'i4', 'u4', 'f4_e2m1', 'i2', 'u2'],
  },
  7: { name: 'int64_data', wire: wireTypes.varint, types: ['i64'] },
  10: { name: 'double_data', wire: wireTypes.fixed64, types: ['f64'] },
  11: { name: 'uint64_data', wire: wireTypes.varint, types: ['u32', 'u64'] },
};

/** A TensorProto as it stands in the file, checked on its own but not yet tied to other files. */
export interface TensorRecord {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Where its bytes lie in the model; undefined when they lie in another file. */
  readonly local: TensorRef | undefined;
  readonly external: ReadonlyMap<string, string>;
}

/** Reads a TensorProto that ends at `end`. */
export function* readTensor(wire: Wire, end: number): Parsing<TensorRecord> {
  const file = wire.source.name;
  let name = '';
  let number = 0;
  let location = 0;
  const shape: number[] = [];
  let raw: Range | undefined;
  let kept: Uint8Array | undefined;
  let dataField = 0;
  let dataCount = 0;
  const pieces: Range[] = [];
  const external = new Map<string, string>();
  while (yield* wire.next(end)) {
    switch (wire.field) {
      case 1: yield* wire.ints(shape, limits.rank); break;
      case 2: number = wire.int(); break;
      case 3: throw errors.segment({ file, name });
      case 4: case 5: case 7: case 10: case 11: {
        if (dataField !== 0 && dataField !== wire.field) throw errors.dataTwice({ file, name });
        dataField = wire.field;
        const { wire: single } = dataFields[dataField];
        // Unpacked values stand one by one between tags; the model writers that do so stopped years ago, and only for short lists.
        if (wire.type === single) {
          if (pieces.length >= limits.listAttribute) throw errors.tooMany({ file, what: 'unpacked values in one tensor', limit: limits.listAttribute });
          pieces.push({ begin: wire.valueAt, end: wire.at });
          dataCount++;
        } else {
          const begin = wire.at;
          const stop = wire.message();
          if (stop > begin) pieces.push({ begin, end: stop });
          dataCount += single === wireTypes.varint ? yield* wire.countVarints() : (stop - begin) / (single === wireTypes.fixed32 ? 4 : 8);
          wire.skip();
        }
        break;
      }
      case 6: throw errors.tensorType({ file, name, type: 'string' });
      case 8: name = yield* wire.text(limits.nameBytes); break;
      case 9:
        if (raw !== undefined) throw errors.dataTwice({ file, name });
        raw = { begin: wire.at, end: wire.message() };
        if (raw.end - raw.begin <= keptBytes) kept = yield* wire.bytes(keptBytes);
        wire.at = raw.end;
        break;
      case 13: {
        const [key, value] = yield* readEntry(wire, wire.message());
        if (external.size >= limits.externalEntries) throw errors.tooMany({ file, what: 'external data entries', limit: limits.externalEntries });
        external.set(key, value);
        break;
      }
      case 14: location = wire.int(); break;
      default: wire.skip();
    }
  }
  const type = elementTypeOf(number);
  if (type === undefined) throw errors.tensorType({ file, name, type: onnxTypeName(number) });
  for (const dim of shape) if (!Number.isSafeInteger(dim) || dim < 0) throw errors.dimension({ file, name, value: dim });
  const byteLength = byteLengthOf(type, shape, name);
  if (location !== 0 && location !== 1) throw errors.dataLocation({ file, name, value: location });
  if (location === 1) {
    if (raw !== undefined || dataField !== 0) throw errors.dataTwice({ file, name });
    return { name, type, shape, local: undefined, external };
  }
  if (raw !== undefined && dataField !== 0 && dataCount > 0) throw errors.dataTwice({ file, name });
  if (dataField === 0 || (raw !== undefined && dataCount === 0)) {
    const found = raw === undefined ? 0 : raw.end - raw.begin;
    if (found !== byteLength) throw errors.dataLength({ file, name, shape, type, expected: byteLength, found, unit: 'bytes' });
    const local = kept !== undefined || raw === undefined
      ? memoryTensor(name, type, shape, kept ?? new Uint8Array(0))
      : rangeTensor(name, type, shape, wire.source, raw.begin);
    return { name, type, shape, local, external };
  }
  const { name: field, wire: single, types } = dataFields[dataField];
  if (!types.includes(type)) throw errors.dataField({ file, name, field, type });
  // Sub-byte types travel packed, one byte per entry of int32_data.
  const expected = elementTypes[type].bits < 8 ? byteLength : elementCount(shape, name);
  if (dataCount !== expected) throw errors.dataLength({ file, name, shape, type, expected, found: dataCount, unit: 'values' });
  const local = single === wireTypes.varint
    ? { name, type, shape, byteLength, read: varintReader(wire.source, name, type, byteLength, pieces) }
    : piecesTensor(name, type, shape, wire.source, pieces);
  return { name, type, shape, local, external };
}

/** Reads a StringStringEntryProto. */
export function* readEntry(wire: Wire, end: number, limit: number = limits.nameBytes): Parsing<[key: string, value: string]> {
  let key = '';
  let value = '';
  while (yield* wire.next(end)) {
    if (wire.field === 1) key = yield* wire.text(limits.nameBytes);
    else if (wire.field === 2) value = yield* wire.text(limit);
    else wire.skip();
  }
  return [key, value];
}

/** A tensor that is one stretch of a file. */
export function rangeTensor(name: string, type: ElementType, shape: readonly number[], source: ByteSource, at: number): TensorRef {
  const byteLength = byteLengthOf(type, shape, name);
  return { name, type, shape, byteLength, read: (begin = 0, end = byteLength) => source.read(at + begin, at + end) };
}

/** A tensor whose bytes are several stretches of a file, one after the other. */
function piecesTensor(name: string, type: ElementType, shape: readonly number[], source: ByteSource, pieces: readonly Range[]): TensorRef {
  if (pieces.length === 1) return rangeTensor(name, type, shape, source, pieces[0].begin);
  const byteLength = byteLengthOf(type, shape, name);
  return {
    name, type, shape, byteLength,
    read: async (begin = 0, end = byteLength) => {
      const out = new Uint8Array(end - begin);
      let start = 0;
      for (const piece of pieces) {
        const stop = start + piece.end - piece.begin;
        const from = Math.max(begin, start);
        const to = Math.min(end, stop);
        if (from < to) out.set(await source.read(piece.begin + from - start, piece.begin + to - start), from - begin);
        start = stop;
      }
      return out;
    },
  };
}
