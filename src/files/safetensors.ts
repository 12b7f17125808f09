/** safetensors, read lazily and written as a stream: 8 bytes of header length, a JSON header, the data. */
import { defineErrors, shown } from '../errors.ts';
import { isJsonObject, parseJsonBytes } from './json.ts';
import type { Json } from './json.ts';
import type { ByteSink, ByteSource } from './source.ts';
import { elementCount, elementTypes, isBlockType } from '../tensor-ref.ts';
import type { ElementType, TensorOut, TensorRef } from '../tensor-ref.ts';

/** As in the hub's own JavaScript reader; the largest shards have some megabytes. */
const maxHeaderBytes = 25_000_000;
/** The largest models have as many in all of their shards together; beyond it a header only costs memory. */
const maxTensors = 150_000;
/** The header is an object of objects with arrays of numbers: three levels. */
const maxHeaderDepth = 4;
/** Ranks beyond 8 occur in no published model. */
const maxDims = 8;

const dtypes: Readonly<Record<string, ElementType>> = {
  F64: 'f64', F32: 'f32', F16: 'f16', BF16: 'bf16', I64: 'i64', I32: 'i32', I16: 'i16', I8: 'i8',
  U64: 'u64', U32: 'u32', U16: 'u16', U8: 'u8', BOOL: 'bool',
  F8_E4M3: 'f8_e4m3', F8_E5M2: 'f8_e5m2', F8_E8M0: 'f8_e8m0', F4: 'f4_e2m1',
};
const dtypeNames = new Map(Object.entries(dtypes).map(([name, type]) => [type as string, name]));

const errors = defineErrors('safetensors', {
  tooShort: (f: { file: string; size: number }) => `${f.file}: ${f.size} bytes are too few for a safetensors file`,
  headerTooLarge: (f: { file: string; length: string }) => `${f.file}: header of ${f.length} bytes exceeds the limit of ${maxHeaderBytes}`,
  headerOutside: (f: { file: string; length: number; size: number }) => `${f.file}: header of ${f.length} bytes does not fit into ${f.size} bytes`,
  headerStart: (f: { file: string }) => `${f.file}: header does not start with "{"`,
  headerPadding: (f: { file: string }) => `${f.file}: header is padded with something other than spaces`,
  tooMany: (f: { file: string; count: number }) => `${f.file}: ${f.count} tensors exceed the limit of ${maxTensors}`,
  notObject: (f: { file: string; name: string }) => `${f.file}: entry ${f.name} is not an object`,
  metadata: (f: { file: string; key: string }) => `${f.file}: metadata ${f.key} is not a string`,
  field: (f: { file: string; name: string; field: string }) => `${f.file}: tensor ${f.name} has an unknown field ${f.field}`,
  dtype: (f: { file: string; name: string; dtype: string }) => `${f.file}: tensor ${f.name} has unknown dtype ${f.dtype}`,
  shape: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} has a shape that is not a list of at most ${maxDims} sizes`,
  offsets: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} has offsets that are not an ascending pair of positions`,
  span: (f: { file: string; name: string; span: number; need: number }) => `${f.file}: tensor ${f.name} spans ${f.span} bytes, its shape needs ${f.need}`,
  partialByte: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} does not end on a byte boundary`,
  hole: (f: { file: string; name: string; begin: number; at: number }) => `${f.file}: tensor ${f.name} begins at ${f.begin}, the one before it ends at ${f.at}`,
  uncovered: (f: { file: string; at: number; size: number }) => `${f.file}: tensors end at byte ${f.at} of ${f.size} data bytes`,
  range: (f: { name: string; begin: number; end: number; size: number }) => `tensor ${f.name}: bytes [${f.begin}, ${f.end}) lie outside its ${f.size} bytes`,
  blockType: (f: { name: string; type: string }) => [`tensor ${f.name}: safetensors has no type ${f.type}`, 'write GGUF instead'] as const,
  duplicateName: (f: { name: string }) => `tensor ${f.name} is given twice`,
  reserved: (_: object) => 'a tensor cannot be named __metadata__',
  produced: (f: { name: string; got: number; need: number }) => `tensor ${f.name}: ${f.got} bytes were produced, ${f.need} announced`,
});

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  readonly metadata: ReadonlyMap<string, string>;
}

const isSize = (value: Json): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && !Object.is(value, -0);

/** Reads and checks the header; tensor bytes are read when asked. The source stays open and belongs to the caller. */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const file = source.name;
  if (source.size < 10) throw errors.tooShort({ file, size: source.size });
  const start = await source.read(0, 9);
  const declared = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (declared > BigInt(maxHeaderBytes)) throw errors.headerTooLarge({ file, length: String(declared) });
  const length = Number(declared);
  if (length > source.size - 8) throw errors.headerOutside({ file, length, size: source.size });
  if (start[8] !== 0x7b) throw errors.headerStart({ file });
  const bytes = await source.read(8, 8 + length);
  const last = bytes.at(-1);
  if (last !== 0x7d && last !== 0x20) throw errors.headerPadding({ file });
  const header = parseJsonBytes(bytes, file, { maxBytes: maxHeaderBytes, maxDepth: maxHeaderDepth });
  if (!isJsonObject(header)) throw errors.headerStart({ file });

  const metadata = new Map<string, string>();
  const spans: { name: string; type: ElementType; shape: readonly number[]; begin: number; end: number }[] = [];
  const named = Object.entries(header);
  if (named.length > maxTensors) throw errors.tooMany({ file, count: named.length });
  for (const [name, entry] of named) {
    if (!isJsonObject(entry)) throw errors.notObject({ file, name: shown(name) });
    if (name === '__metadata__') {
      for (const [key, value] of Object.entries(entry)) {
        if (typeof value !== 'string') throw errors.metadata({ file, key: shown(key) });
        metadata.set(key, value);
      }
    } else spans.push(readEntry(file, name, entry));
  }
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of spans) {
    if (begin !== at) throw errors.hole({ file, name: shown(name), begin, at });
    at = end;
  }
  const dataStart = 8 + length;
  if (at !== source.size - dataStart) throw errors.uncovered({ file, at, size: source.size - dataStart });

  const tensors = new Map<string, TensorRef>();
  for (const { name, type, shape, begin, end } of spans) {
    const byteLength = end - begin;
    tensors.set(name, {
      name, type, shape, byteLength,
      read: async (from = 0, to = byteLength) => {
        if (!(from >= 0 && from <= to && to <= byteLength)) throw errors.range({ name, begin: from, end: to, size: byteLength });
        return source.read(dataStart + begin + from, dataStart + begin + to);
      },
    });
  }
  return { tensors, metadata };
}

function readEntry(file: string, key: string, entry: { readonly [key: string]: Json }) {
  const name = shown(key);
  for (const field of Object.keys(entry)) {
    if (field !== 'dtype' && field !== 'shape' && field !== 'data_offsets') throw errors.field({ file, name, field: shown(field) });
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypes, dtype)) throw errors.dtype({ file, name, dtype: typeof dtype === 'string' ? shown(dtype) : 'that is no text' });
  if (!Array.isArray(shape) || shape.length > maxDims || !shape.every(isSize)) throw errors.shape({ file, name });
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize) || offsets[0] > offsets[1]) throw errors.offsets({ file, name });
  const type = dtypes[dtype];
  const count = elementCount(shape, key);
  const bits = elementTypes[type].bits;
  // Bits of the largest count would leave the safe integers; bytes do not.
  if (bits < 8 && count % (8 / bits) !== 0) throw errors.partialByte({ file, name });
  const need = count * (bits / 8);
  const span = offsets[1] - offsets[0];
  if (need !== span) throw errors.span({ file, name, span, need });
  return { name: key, type, shape, begin: offsets[0] as number, end: offsets[1] as number };
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Writes tensors in the order of the reference writer (widest type first, then by name), so that equal tensors
 * give equal bytes. Neither commits nor aborts the sink.
 */
export async function writeSafetensors(
  sink: ByteSink, tensors: readonly TensorOut[], metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const ordered = tensors.map((tensor) => {
    const dtype = dtypeNames.get(tensor.type);
    if (isBlockType(tensor.type) || dtype === undefined) throw errors.blockType({ name: tensor.name, type: tensor.type });
    return { tensor, dtype, bits: elementTypes[tensor.type].bits };
  }).sort((a, b) => b.bits - a.bits || byText(a.tensor.name, b.tensor.name));
  const seen = new Set<string>();
  const entries: string[] = [];
  if (metadata.size > 0) {
    const members = [...metadata].sort((a, b) => byText(a[0], b[0])).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    entries.push(`"__metadata__":{${members.join(',')}}`);
  }
  let at = 0;
  for (const { tensor, dtype, bits } of ordered) {
    const { name, shape, byteLength } = tensor;
    if (name === '__metadata__') throw errors.reserved({});
    if (seen.has(name)) throw errors.duplicateName({ name });
    seen.add(name);
    const need = elementCount(shape, name) * (bits / 8);
    if (need !== byteLength) throw errors.span({ file: 'output', name, span: byteLength, need });
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [at, at + byteLength] })}`);
    at += byteLength;
  }
  const text = new TextEncoder().encode(`{${entries.join(',')}}`);
  const length = Math.ceil(text.byteLength / 8) * 8;
  if (length > maxHeaderBytes) throw errors.headerTooLarge({ file: 'output', length: String(length) });
  const head = new Uint8Array(8 + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(text, 8);
  await sink.write(head);
  for (const { tensor } of ordered) {
    if (sink.resume?.(tensor.byteLength)) continue;
    let got = 0;
    for await (const chunk of tensor.chunks()) {
      got += chunk.byteLength;
      if (got > tensor.byteLength) break;
      await sink.write(chunk);
    }
    if (got !== tensor.byteLength) throw errors.produced({ name: tensor.name, got, need: tensor.byteLength });
  }
}
