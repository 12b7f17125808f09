/** Tensors whose bytes lie in files beside the model: named inside the folder only, checked against the file's size. */
import { onnxErrors as errors } from './onnx-errors.ts';
import type { TensorRecord } from './onnx-tensor.ts';
import type { ByteSource, Folder } from './source.ts';
import { byteLengthOf, type TensorRef } from '../tensor-ref.ts';

export interface ExternalFiles {
  /** The tensor of a record; one that lies outside can be read after `open`. */
  tensor(record: TensorRecord): TensorRef;
  /** Opens what the tensors name and checks that each lies inside its file. */
  open(): Promise<void>;
  names(): readonly string[];
  close(): Promise<void>;
}

interface Span { readonly name: string; readonly begin: number; readonly end: number }

/** Tensors that are the same bytes seen twice (a table that is also the output head) are written once by some exporters. */
const maxSharers = 16;

/** Tensors may share all of their bytes, a few of them; otherwise a small file could stand for terabytes. */
function checkOverlap(file: string, location: string, spans: Span[]): void {
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let sharers = 1;
  for (let i = 1; i < spans.length; i++) {
    const [before, { name, begin, end }] = [spans[i - 1], spans[i]];
    sharers = begin === before.begin && end === before.end ? sharers + 1 : 1;
    if (sharers > maxSharers) throw errors.tooMany({ file, what: `tensors in the same bytes of ${location}`, limit: maxSharers });
    if (sharers === 1 && begin < before.end) throw errors.externalOverlap({ file, name, other: before.name, location });
  }
}

/** Collects the external tensors of the model `file`. */
export function externalFiles(file: string, folder: Folder | undefined): ExternalFiles {
  const sources = new Map<string, ByteSource>();
  const waiting: { tensor: TensorRef; location: string; offset: number; given: number | undefined }[] = [];
  return {
    tensor(record) {
      if (record.local !== undefined) return record.local;
      const { name, type, shape } = record;
      const location = locationOf(file, record);
      const offset = byteCount(file, record, 'offset') ?? 0;
      const byteLength = byteLengthOf(type, shape, name);
      const tensor: TensorRef = {
        name, type, shape, byteLength,
        read: (begin = 0, end = byteLength) => sources.get(location)!.read(offset + begin, offset + end),
      };
      waiting.push({ tensor, location, offset, given: byteCount(file, record, 'length') });
      return tensor;
    },
    async open() {
      const ranges = new Map<string, Span[]>();
      for (const { tensor, location, offset, given } of waiting) {
        const { name, type, shape, byteLength } = tensor;
        if (folder === undefined) throw errors.noFolder({ file, name, location });
        let source = sources.get(location);
        if (source === undefined) {
          if (!(await folder.has(location))) throw errors.missingLocation({ file, name, location });
          source = await folder.open(location, { alone: true });
          sources.set(location, source);
        }
        const length = given ?? source.size - offset;
        if (offset + length > source.size || length < 0) throw errors.externalEnd({ file, name, location, end: offset + Math.max(length, 0), size: source.size });
        if (length !== byteLength) throw errors.dataLength({ file, name, shape, type, expected: byteLength, found: length, unit: 'bytes' });
        const spans = ranges.get(location) ?? [];
        ranges.set(location, spans);
        if (byteLength > 0) spans.push({ name, begin: offset, end: offset + byteLength });
      }
      for (const [location, spans] of ranges) checkOverlap(file, location, spans);
    },
    names: () => [...sources.keys()],
    async close() {
      for (const source of sources.values()) await source.close();
    },
  };
}

/** The file that a record names, relative to the model; anything that could lead elsewhere is refused. */
function locationOf(file: string, record: TensorRecord): string {
  const { name } = record;
  const given = record.external.get('location');
  if (given === undefined || given === '') throw errors.noLocation({ file, name });
  const location = given.replace(/^(\.\/)+/, '');
  const parts = location.split('/');
  // eslint-disable-next-line no-control-regex
  if (/[\\:\u0000-\u001f]/.test(location) || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw errors.badLocation({ file, name, location: given });
  }
  return location;
}

/** A number of the external_data entries, written as decimal text. */
function byteCount(file: string, record: TensorRecord, key: 'offset' | 'length'): number | undefined {
  const value = record.external.get(key);
  if (value === undefined) return undefined;
  const count = /^[0-9]{1,16}$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(count)) throw errors.externalNumber({ file, name: record.name, key, value });
  return count;
}
