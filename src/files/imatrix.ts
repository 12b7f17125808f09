/**
 * Importance matrices of llama.cpp: for each weight matrix, the mean square of what enters each of its columns.
 * Read and written in both forms (GGUF with `general.type` imatrix, and the older binary form), merged.
 */
import { defineErrors } from '../errors.ts';
import { openGguf, type GgufFile, type GgufValue } from './gguf.ts';
import { writeGguf } from './gguf-write.ts';
import type { ByteSink, ByteSource } from './source.ts';
import { copyTensor, floatTensor } from '../tensor-ref.ts';
import { readFloats } from './values.ts';

/** What was seen at the input of one matrix, or of the matrices of several experts. */
export interface ImatrixSums {
  /** Sums of squares, [experts, cols] row-major; one expert where there are none. */
  readonly sums: Float32Array;
  /** How many vectors each expert saw. */
  readonly counts: Float32Array;
}

export interface Imatrix {
  /**
   * By the name of the GGUF tensor, mean squares of its columns; experts × cols where it holds experts.
   * What was never seen weighs 1, as in llama.cpp.
   */
  readonly entries: ReadonlyMap<string, Float32Array>;
  readonly stats: ReadonlyMap<string, ImatrixSums>;
  /** Names of the texts it was made from. */
  readonly datasets: readonly string[];
  readonly chunkCount: number;
  /** Tokens per chunk; 0 in the older form, whose counts are chunks and not vectors. */
  readonly chunkSize: number;
}

/** The largest models have some tens of thousands of matrices. */
const maxEntries = 1_000_000;
const maxNameBytes = 4096;
const sumsSuffix = '.in_sum2';
const countsSuffix = '.counts';

const errors = defineErrors('imatrix', {
  notImatrix: (f: { file: string; reason: string }) => [`${f.file}: not an importance matrix: ${f.reason}`, 'make one with llama-imatrix'],
  truncated: (f: { file: string; at: number }) => `${f.file}: ends inside of the entry at byte ${f.at}`,
  trailing: (f: { file: string; at: number }) => `${f.file}: something follows its end at byte ${f.at}`,
  name: (f: { file: string; at: number }) => `${f.file}: byte ${f.at}: the name of an entry is empty, too long or not UTF-8`,
  duplicate: (f: { file: string; name: string }) => `${f.file}: ${f.name} occurs twice`,
  pair: (f: { file: string; name: string; missing: string }) => `${f.file}: ${f.name} has no ${f.missing}`,
  tensor: (f: { file: string; name: string; type: string }) => `${f.file}: tensor ${f.name} of type ${f.type} is not a list of sums or counts in f32`,
  shapes: (f: { file: string; name: string; sums: number; counts: number }) => `${f.file}: ${f.name}: ${f.sums} sums do not divide over ${f.counts} counts`,
  value: (f: { file: string; name: string; value: number; index: number }) => `${f.file}: ${f.name}: ${f.value} at index ${f.index} is not a finite number ≥ 0`,
  metadata: (f: { file: string; key: string }) => `${f.file}: ${f.key} has another type than an importance matrix gives it`,
  merge: (f: { name: string; first: number; other: number }) => `importance matrices disagree about ${f.name}: ${f.first} columns and ${f.other}`,
  nothing: (f: { what: string }) => `no ${f.what} to merge`,
});

const shown = (name: string): string => JSON.stringify(name.slice(0, 80));

/** Puts an importance matrix together from sums; throws where they are not finite, not positive or do not fit their counts. */
export function makeImatrix(
  stats: ReadonlyMap<string, ImatrixSums>,
  about: Partial<Pick<Imatrix, 'datasets' | 'chunkCount' | 'chunkSize'>> = {}, file = 'importance matrix',
): Imatrix {
  const entries = new Map<string, Float32Array>();
  for (const [name, { sums, counts }] of stats) {
    if (counts.length === 0 || sums.length === 0 || sums.length % counts.length !== 0) {
      throw errors.shapes({ file, name: shown(name), sums: sums.length, counts: counts.length });
    }
    for (const list of [sums, counts]) {
      const index = list.findIndex((value) => !(value >= 0 && value < Infinity));
      if (index >= 0) throw errors.value({ file, name: shown(name), value: list[index], index });
    }
    const cols = sums.length / counts.length;
    entries.set(name, sums.map((sum, i) => {
      const count = counts[Math.floor(i / cols)];
      return count > 0 ? sum / count : 1;
    }));
  }
  return { entries, stats, datasets: about.datasets ?? [], chunkCount: about.chunkCount ?? 0, chunkSize: about.chunkSize ?? 0 };
}

/** Reads an importance matrix in either form. The source stays open and belongs to the caller. */
export async function readImatrix(source: ByteSource): Promise<Imatrix> {
  const magic = await source.read(0, Math.min(4, source.size));
  return String.fromCharCode(...magic) === 'GGUF' ? fromGguf(source.name, await openGguf(source)) : fromBinary(source);
}

async function fromGguf(file: string, { metadata, tensors }: GgufFile): Promise<Imatrix> {
  const kind = metadata.get('general.type');
  if (kind?.type !== 'string' || kind.value !== 'imatrix') {
    throw errors.notImatrix({ file, reason: `its general.type is ${kind?.type === 'string' ? shown(kind.value) : 'missing'}` });
  }
  const number = (key: string): number => {
    const value = metadata.get(key);
    if (value === undefined) return 0;
    if (value.type !== 'u32') throw errors.metadata({ file, key });
    return value.value;
  };
  const datasets = metadata.get('imatrix.datasets');
  if (datasets !== undefined && !(datasets.type === 'array' && datasets.of === 'string')) throw errors.metadata({ file, key: 'imatrix.datasets' });
  const stats = new Map<string, ImatrixSums>();
  const floats = async (name: string): Promise<Float32Array> => {
    const tensor = tensors.get(name)!;
    if (tensor.type !== 'f32') throw errors.tensor({ file, name: shown(name), type: tensor.type });
    return readFloats(tensor);
  };
  for (const full of tensors.keys()) {
    // Other statistics may stand beside the sums; they are not read.
    if (full.endsWith(countsSuffix)) {
      const name = full.slice(0, -countsSuffix.length);
      if (!tensors.has(name + sumsSuffix)) throw errors.pair({ file, name: shown(name), missing: 'sums' });
    }
    if (!full.endsWith(sumsSuffix)) continue;
    const name = full.slice(0, -sumsSuffix.length);
    if (!tensors.has(name + countsSuffix)) throw errors.pair({ file, name: shown(name), missing: 'counts' });
    stats.set(name, { sums: await floats(full), counts: await floats(name + countsSuffix) });
  }
  if (stats.size === 0) throw errors.notImatrix({ file, reason: 'it holds no sums' });
  return makeImatrix(stats, {
    datasets: datasets?.type === 'array' ? (datasets.value as readonly string[]) : [],
    chunkCount: number('imatrix.chunk_count'), chunkSize: number('imatrix.chunk_size'),
  }, file);
}

/** The older form: count; then name, calls, values of each entry; then, in newer files, the number of chunks and the name of the text. */
async function fromBinary(source: ByteSource): Promise<Imatrix> {
  const { name: file, size } = source;
  let at = 0;
  let entry = 0;
  const take = async (bytes: number): Promise<Uint8Array> => {
    if (bytes > size - at) throw errors.truncated({ file, at: entry });
    at += bytes;
    return source.read(at - bytes, at);
  };
  const i32 = async (): Promise<number> => {
    const bytes = await take(4);
    return new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
  };
  const text = async (length: number): Promise<string> => {
    if (length < 1 || length > maxNameBytes) throw errors.name({ file, at });
    try { return new TextDecoder('utf-8', { fatal: true }).decode(await take(length)); } catch (error) {
      throw (error as Error).name === 'FewbitError' ? error : errors.name({ file, at });
    }
  };
  if (size < 4) throw errors.notImatrix({ file, reason: `${size} bytes are too few` });
  const count = await i32();
  if (count < 1 || count > maxEntries) throw errors.notImatrix({ file, reason: `it announces ${count} entries` });
  const stats = new Map<string, ImatrixSums>();
  for (let i = 0; i < count; i++) {
    entry = at;
    const name = await text(await i32());
    if (stats.has(name)) throw errors.duplicate({ file, name: shown(name) });
    const calls = await i32();
    const length = await i32();
    if (length < 1 || calls < 0) throw errors.notImatrix({ file, reason: `${shown(name)} announces ${length} values of ${calls} calls` });
    const bytes = await take(4 * length);
    const sums = new Float32Array(length);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (let j = 0; j < length; j++) sums[j] = view.getFloat32(4 * j, true);
    // Zero calls stand for sums that are means already.
    stats.set(name, { sums, counts: Float32Array.of(calls === 0 ? 1 : calls) });
  }
  entry = at;
  const chunkCount = at < size ? Math.max(0, await i32()) : 0;
  const datasetBytes = at < size ? await i32() : 0;
  const datasets = datasetBytes > 0 ? [await text(datasetBytes)] : [];
  if (at < size) throw errors.trailing({ file, at });
  return makeImatrix(stats, { datasets, chunkCount, chunkSize: 0 }, file);
}

/** Writes the GGUF form, entries by name: same matrix, same bytes. Neither commits nor aborts the sink. */
export async function writeImatrix(sink: ByteSink, imatrix: Imatrix): Promise<void> {
  const metadata = new Map<string, GgufValue>([
    ['general.type', { type: 'string', value: 'imatrix' }],
    ['imatrix.datasets', { type: 'array', of: 'string', value: imatrix.datasets }],
    ['imatrix.chunk_count', { type: 'u32', value: imatrix.chunkCount }],
    ['imatrix.chunk_size', { type: 'u32', value: imatrix.chunkSize }],
  ]);
  const names = [...imatrix.stats.keys()].sort();
  await writeGguf(sink, metadata, names.flatMap((name) => {
    const { sums, counts } = imatrix.stats.get(name)!;
    const experts = counts.length;
    return [
      copyTensor(floatTensor(name + sumsSuffix, [experts, sums.length / experts], sums)),
      copyTensor(floatTensor(name + countsSuffix, [experts, 1], counts)),
    ];
  }));
}

/**
 * Writes the older form, entries by name. It has one number of calls for an entry, in chunks: sums of experts become their
 * means times that number, and what was never seen a mean of 1. Neither commits nor aborts the sink.
 */
export async function writeOldImatrix(sink: ByteSink, imatrix: Imatrix): Promise<void> {
  const i32 = (value: number): Uint8Array => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, value, true);
    return bytes;
  };
  const text = async (value: string): Promise<void> => {
    const bytes = new TextEncoder().encode(value);
    await sink.write(i32(bytes.byteLength));
    if (bytes.byteLength > 0) await sink.write(bytes);
  };
  const names = [...imatrix.stats.keys()].sort();
  await sink.write(i32(names.length));
  for (const name of names) {
    const { sums, counts } = imatrix.stats.get(name)!;
    const most = counts.reduce((a, b) => Math.max(a, b), 0);
    const calls = Math.max(1, Math.ceil(imatrix.chunkSize > 0 ? most / imatrix.chunkSize : most));
    // Sums that count the same calls pass unchanged.
    const values = counts.length === 1 && calls === counts[0] ? sums : imatrix.entries.get(name)!.map((mean) => mean * calls);
    await text(name);
    await sink.write(i32(calls));
    await sink.write(i32(values.length));
    const bytes = new Uint8Array(4 * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => view.setFloat32(4 * i, value, true));
    await sink.write(bytes);
  }
  await sink.write(i32(imatrix.chunkCount));
  await text(imatrix.datasets[0] ?? '');
}

/** The matrix of all texts together. Matrices of the older form count as if their chunks had the size of the others'. */
export function mergeImatrices(parts: readonly Imatrix[]): Imatrix {
  if (parts.length === 0) throw errors.nothing({ what: 'importance matrices' });
  const chunkSize = parts.find((part) => part.chunkSize > 0)?.chunkSize ?? 0;
  const totals = new Map<string, { sums: Float64Array; counts: Float64Array }>();
  for (const part of parts) {
    const unit = part.chunkSize === 0 && chunkSize > 0 ? chunkSize : 1;
    for (const [name, { sums, counts }] of part.stats) {
      const total = totals.get(name) ?? { sums: new Float64Array(sums.length), counts: new Float64Array(counts.length) };
      if (total.sums.length !== sums.length || total.counts.length !== counts.length) {
        throw errors.merge({ name: shown(name), first: total.sums.length, other: sums.length });
      }
      sums.forEach((sum, i) => { total.sums[i] += sum * unit; });
      counts.forEach((count, i) => { total.counts[i] += count * unit; });
      totals.set(name, total);
    }
  }
  return makeImatrix(
    new Map([...totals].map(([name, { sums, counts }]) => [name, { sums: Float32Array.from(sums), counts: Float32Array.from(counts) }])),
    { datasets: [...new Set(parts.flatMap((part) => part.datasets))], chunkCount: parts.reduce((sum, part) => sum + part.chunkCount, 0), chunkSize },
  );
}
