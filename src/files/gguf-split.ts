/**
 * GGUF models in several files, named and numbered as llama.cpp does: `name-00001-of-00003.gguf`, with `split.no`,
 * `split.count` and `split.tensors.count` in each; the first holds the metadata of the model.
 */
import { defineErrors, shown } from '../errors.ts';
import { openGguf, type GgufValue } from './gguf.ts';
import { writeGguf } from './gguf-write.ts';
import type { ByteSink, ByteSource, Folder } from './source.ts';
import type { TensorOut, TensorRef } from '../tensor-ref.ts';

/** The largest published models have some hundred files; each stays open while the model is read. */
const maxFiles = 1024;

const errors = defineErrors('ggufSplit', {
  name: (f: { file: string; count: number }) =>
    [`${f.file}: says that it is one of ${f.count} files, but has another name than name-00001-of-${digits(f.count)}.gguf`, 'give it back the name that it was made with'] as const,
  alone: (f: { file: string; count: number }) => [`${f.file}: is one of ${f.count} files, and the others cannot be reached from here`, 'download all of them into one folder'] as const,
  missing: (f: { file: string; part: string }) => [`${f.file}: ${f.part} is not beside it`, 'download all parts into one folder'] as const,
  number: (f: { file: string; key: string; value: string }) => `${f.file}: metadata ${f.key} is ${f.value}`,
  duplicate: (f: { file: string; name: string }) => `${f.file}: tensor ${f.name} is in an earlier part too`,
  tensors: (f: { file: string; found: number; announced: number }) => `${f.file}: all parts together hold ${f.found} tensors, ${f.announced} are announced`,
  count: (f: { count: number }) => [`${f.count} files exceed the limit of ${maxFiles}`, 'choose larger parts'] as const,
});

const digits = (number: number): string => String(number).padStart(5, '0');

/** `path/name-00002-of-00003.gguf` → stem `path/name`, index 1, count 3; undefined for any other name. */
export function parseSplitName(file: string): { stem: string; index: number; count: number } | undefined {
  const [, stem, no, of] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(file) ?? [];
  if (stem === undefined || Number(no) < 1 || Number(no) > Number(of)) return undefined;
  return { stem, index: Number(no) - 1, count: Number(of) };
}

/** Name of the part with this index, counted from 0. */
export const splitName = (stem: string, index: number, count: number): string => `${stem}-${digits(index + 1)}-of-${digits(count)}.gguf`;

const isSplitKey = (key: string): boolean => key.startsWith('split.');

export interface GgufModelFiles {
  /** Of the whole model, without the keys that number its files. */
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, TensorRef>;
  /** Names of the files, as their sources tell them. */
  readonly files: readonly string[];
  /** Closes every file, the given one too. */
  close(): Promise<void>;
}

/** A GGUF model in one file, or in several of which any one is given; the others are looked for in `folder`. Closes the source when it fails. */
export async function openGgufFiles(source: ByteSource, folder?: Folder): Promise<GgufModelFiles> {
  const sources = [source];
  const close = async (): Promise<void> => { await Promise.all(sources.map((each) => each.close())); };
  try {
    const given = await openGguf(source);
    const count = numberAt(source.name, given.metadata, 'split.count', 0);
    if (count <= 1) return { metadata: withoutSplit(given.metadata), tensors: given.tensors, files: [source.name], close };
    if (count > maxFiles) throw errors.count({ count });
    const base = source.name.split(/[?#]/)[0].split(/[\\/]/).at(-1)!;
    const named = parseSplitName(base);
    if (named?.count !== count) throw errors.name({ file: source.name, count });
    if (folder === undefined) throw errors.alone({ file: source.name, count });
    const parts = [];
    for (let index = 0; index < count; index++) {
      if (index === named.index) { parts.push({ name: source.name, gguf: given }); continue; }
      const part = splitName(named.stem, index, count);
      if (!(await folder.has(part))) throw errors.missing({ file: source.name, part });
      const other = await folder.open(part);
      sources.push(other);
      parts.push({ name: other.name, gguf: await openGguf(other) });
    }
    const tensors = new Map<string, TensorRef>();
    for (const [index, { name, gguf }] of parts.entries()) {
      const found = [numberAt(name, gguf.metadata, 'split.no', -1), numberAt(name, gguf.metadata, 'split.count', 0)];
      if (found[0] !== index) throw errors.number({ file: name, key: 'split.no', value: `${found[0]}, its name says ${index}` });
      if (found[1] !== count) throw errors.number({ file: name, key: 'split.count', value: `${found[1]}, another part says ${count}` });
      for (const [tensor, ref] of gguf.tensors) {
        if (tensors.has(tensor)) throw errors.duplicate({ file: name, name: shown(tensor) });
        tensors.set(tensor, ref);
      }
    }
    const first = parts[0];
    const announced = numberAt(first.name, first.gguf.metadata, 'split.tensors.count', tensors.size);
    if (announced !== tensors.size) throw errors.tensors({ file: first.name, found: tensors.size, announced });
    return { metadata: withoutSplit(first.gguf.metadata), tensors, files: parts.map(({ name }) => name), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function numberAt(file: string, metadata: ReadonlyMap<string, GgufValue>, key: string, otherwise: number): number {
  const value = metadata.get(key);
  if (value === undefined) return otherwise;
  if (typeof value.value !== 'number') throw errors.number({ file, key, value: `of type ${value.type}` });
  return value.value;
}

const withoutSplit = (metadata: ReadonlyMap<string, GgufValue>): ReadonlyMap<string, GgufValue> =>
  new Map([...metadata].filter(([key]) => !isSplitKey(key)));

/** Writes a model into as many files as there are parts of its tensors. Neither commits nor aborts the sinks. */
export async function writeGgufFiles(sinks: readonly ByteSink[], metadata: ReadonlyMap<string, GgufValue>, parts: readonly (readonly TensorOut[])[]): Promise<void> {
  if (parts.length === 1) return writeGguf(sinks[0], metadata, parts[0]);
  if (parts.length > maxFiles) throw errors.count({ count: parts.length });
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  for (const [no, part] of parts.entries()) {
    await writeGguf(sinks[no], new Map<string, GgufValue>([
      ...(no === 0 ? metadata : []),
      ['split.no', { type: 'u16', value: no }], ['split.count', { type: 'u16', value: parts.length }], ['split.tensors.count', { type: 'i32', value: total }],
    ]), part);
  }
}
