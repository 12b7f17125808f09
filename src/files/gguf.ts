/** GGUF (versions 2 and 3, little-endian), described without reading its tensors. */
import { defineErrors, shown } from '../errors.ts';
import type { ByteSource } from './source.ts';
import { blockTypes, byteLengthOf } from '../tensor-ref.ts';
import type { TensorRef, TensorType } from '../tensor-ref.ts';

/** Metadata value types in the order of their ids. */
export const ggufValueTypes = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array', 'u64', 'i64', 'f64'] as const;
export type GgufArray =
  | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array
  | Float32Array | Float64Array | BigUint64Array | BigInt64Array | readonly string[] | readonly boolean[];
type ScalarType = Exclude<(typeof ggufValueTypes)[number], 'array'>;
export type GgufValue =
  | { readonly type: 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'; readonly value: number }
  | { readonly type: 'u64' | 'i64'; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly of: ScalarType; readonly value: GgufArray };

/** Ids of tensor types in the file. */
export const ggufTypeIds = new Map<TensorType, number>([
  ['f32', 0], ['f16', 1], ['i8', 24], ['i16', 25], ['i32', 26], ['i64', 27], ['f64', 28], ['bf16', 30],
  ...(Object.keys(blockTypes) as (keyof typeof blockTypes)[]).map((type) => [type, blockTypes[type].id] as const),
]);
const typesById = new Map([...ggufTypeIds].map(([type, id]) => [id, type]));

/**
 * Vocabularies stay below 300 000 entries and 600 000 merges, headers below 30 MB; lists of texts together, tensors and bytes
 * are bounded so that the description of a file takes less than 300 MB of memory.
 */
const limits = {
  array: 8_000_000, strings: 2_000_000, keys: 100_000, tensors: 150_000, string: 10_000_000, key: 65_535, tensorName: 1024,
  dims: 4, dim: 2 ** 32, header: 64 * 1024 * 1024,
};

const errors = defineErrors('gguf', {
  magic: (f: { file: string }) => `${f.file}: not a GGUF file`,
  version: (f: { file: string; version: number }) => `${f.file}: GGUF version ${f.version} is not 2 or 3`,
  bigEndian: (f: { file: string }) => [`${f.file}: GGUF in big-endian byte order is not read`, 'convert it for little-endian machines'],
  truncated: (f: { file: string; size: number }) => `${f.file}: header does not end within ${f.size} bytes`,
  headerTooLarge: (f: { file: string; limit: number }) => `${f.file}: header does not end within the limit of ${f.limit} bytes`,
  limit: (f: { file: string; what: string; value: string; limit: number }) => `${f.file}: ${f.what} ${f.value} exceeds the limit of ${f.limit}`,
  utf8: (f: { file: string; at: number }) => `${f.file}: string at byte ${f.at} is not valid UTF-8`,
  valueType: (f: { file: string; id: number }) => `${f.file}: unknown metadata type ${f.id}`,
  nested: (f: { file: string }) => `${f.file}: metadata nests an array in an array`,
  bool: (f: { file: string; value: number }) => `${f.file}: boolean with value ${f.value}`,
  duplicate: (f: { file: string; name: string }) => `${f.file}: ${f.name} occurs twice`,
  alignment: (f: { file: string }) => `${f.file}: general.alignment is not a u32 power of two of at least 8`,
  tensorType: (f: { file: string; name: string; id: number }) => `${f.file}: tensor ${f.name} has unknown type ${f.id}`,
  offset: (f: { file: string; name: string; offset: string }) => `${f.file}: tensor ${f.name} at offset ${f.offset} is not aligned or not inside the file`,
  overlap: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} overlaps the one before it`,
  range: (f: { name: string; begin: number; end: number; size: number }) => `tensor ${f.name}: bytes [${f.begin}, ${f.end}) lie outside its ${f.size} bytes`,
});

export interface GgufFile {
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, TensorRef>;
}

class NeedMore extends Error {}

/** Reads and checks the header; shapes are row-major. The source stays open and belongs to the caller. */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  // The header's length is written nowhere: parse a prefix, and double it while it ends too early.
  for (let size = 1 << 20; ; size *= 4) {
    const prefix = Math.min(size, source.size);
    try {
      return parse(source, await source.read(0, prefix));
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
      if (prefix === source.size) throw errors.truncated({ file: source.name, size: prefix });
      if (prefix >= limits.header) throw errors.headerTooLarge({ file: source.name, limit: limits.header });
    }
  }
}

const widths: Readonly<Record<ScalarType, number>> = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, bool: 1, string: 8, u64: 8, i64: 8, f64: 8 };
const arrays = {
  u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array, u32: Uint32Array, i32: Int32Array,
  f32: Float32Array, f64: Float64Array, u64: BigUint64Array, i64: BigInt64Array,
} as const;

function parse(source: ByteSource, bytes: Uint8Array): GgufFile {
  const file = source.name;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let at = 0;
  let strings = 0;
  const take = (n: number): number => {
    if (n > bytes.byteLength - at) throw new NeedMore();
    at += n;
    return at - n;
  };
  const u32 = (): number => view.getUint32(take(4), true);
  const count = (what: string, limit: number): number => {
    const value = view.getBigUint64(take(8), true);
    if (value > BigInt(limit)) throw errors.limit({ file, what, value: String(value), limit });
    return Number(value);
  };
  const string = (what = 'string', limit: number = limits.string): string => {
    const length = count(`${what} length`, limit);
    const begin = take(length);
    try { return decoder.decode(bytes.subarray(begin, at)); } catch { throw errors.utf8({ file, at: begin }); }
  };
  const bool = (): boolean => {
    const value = view.getUint8(take(1));
    if (value > 1) throw errors.bool({ file, value });
    return value === 1;
  };
  const kind = () => {
    const id = u32();
    if (id >= ggufValueTypes.length) throw errors.valueType({ file, id });
    return ggufValueTypes[id];
  };
  const many = (of: Exclude<ScalarType, 'string' | 'bool'>, n: number) => {
    const begin = take(n * widths[of]);
    // Copied, because typed arrays need an aligned start.
    return new arrays[of](bytes.slice(begin, at).buffer as ArrayBuffer);
  };
  const value = (): GgufValue => {
    const type = kind();
    if (type === 'string') return { type, value: string() };
    if (type === 'bool') return { type, value: bool() };
    if (type === 'u64' || type === 'i64') return { type, value: many(type, 1)[0] as bigint };
    if (type !== 'array') return { type, value: many(type, 1)[0] as number };
    const of = kind();
    if (of === 'array') throw errors.nested({ file });
    const n = count('array length', limits.array);
    if (n * widths[of] > bytes.byteLength - at) throw new NeedMore();
    if (of === 'string' || of === 'bool') {
      strings += n;
      if (strings > limits.strings) throw errors.limit({ file, what: 'number of texts in lists', value: String(strings), limit: limits.strings });
      return of === 'string' ? { type, of, value: Array.from({ length: n }, () => string()) } : { type, of, value: Array.from({ length: n }, bool) };
    }
    return { type, of, value: many(of, n) };
  };

  if (bytes.byteLength < 4 || view.getUint32(take(4), false) !== 0x47475546) throw errors.magic({ file });
  const version = u32();
  if (version === 0x02000000 || version === 0x03000000) throw errors.bigEndian({ file });
  if (version !== 2 && version !== 3) throw errors.version({ file, version });
  const tensorCount = count('tensor count', limits.tensors);
  const keyCount = count('key count', limits.keys);
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < keyCount; i++) {
    const key = string('key', limits.key);
    if (metadata.has(key)) throw errors.duplicate({ file, name: `key ${shown(key)}` });
    metadata.set(key, value());
  }
  const aligned = metadata.get('general.alignment');
  const alignment = aligned === undefined ? 32 : aligned.type === 'u32' ? aligned.value : 0;
  if (alignment < 8 || !Number.isInteger(Math.log2(alignment))) throw errors.alignment({ file });

  const found: { name: string; type: TensorType; shape: number[]; offset: number; byteLength: number }[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const name = string('tensor name', limits.tensorName);
    if (names.has(name)) throw errors.duplicate({ file, name: `tensor ${shown(name)}` });
    names.add(name);
    const dims = u32();
    if (dims > limits.dims) throw errors.limit({ file, what: 'number of dimensions', value: String(dims), limit: limits.dims });
    const shape = Array.from({ length: dims }, () => count('dimension', limits.dim)).reverse();
    const id = u32();
    const type = typesById.get(id);
    if (type === undefined) throw errors.tensorType({ file, name: shown(name), id });
    const offset = count('tensor offset', Number.MAX_SAFE_INTEGER);
    found.push({ name, type, shape, offset, byteLength: byteLengthOf(type, shape, name) });
  }
  const dataStart = Math.ceil(at / alignment) * alignment;
  let end = 0;
  for (const { name, offset, byteLength } of [...found].sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)) {
    if (offset % alignment !== 0 || (byteLength > 0 && offset > source.size - dataStart - byteLength)) {
      throw errors.offset({ file, name: shown(name), offset: String(offset) });
    }
    if (offset < end) throw errors.overlap({ file, name: shown(name) });
    end = offset + byteLength;
  }
  const tensors = new Map(found.map(({ name, type, shape, offset, byteLength }): [string, TensorRef] => [name, {
    name, type, shape, byteLength,
    read: async (from = 0, to = byteLength) => {
      if (!(from >= 0 && from <= to && to <= byteLength)) throw errors.range({ name, begin: from, end: to, size: byteLength });
      // An empty tensor may lie where the file has ended.
      if (from === to) return new Uint8Array(0);
      return source.read(dataStart + offset + from, dataStart + offset + to);
    },
  }]));
  return { version, alignment, metadata, tensors };
}
