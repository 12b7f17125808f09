/** The tensors of a Hugging Face folder: one model.safetensors, or shards listed by model.safetensors.index.json. */
import { defineErrors } from '../errors.ts';
import { isJsonObject, readJson } from '../files/json.ts';
import { openSafetensors } from '../files/safetensors.ts';
import type { ByteSource, Folder } from '../files/source.ts';
import type { TensorRef } from '../tensor-ref.ts';

/** The largest published models have a few hundred shards. */
const maxShards = 2048;
/** An index has about 100 bytes per tensor. */
const maxIndexBytes = 50_000_000;

const errors = defineErrors('folder', {
  noWeights: (f: { folder: string }) => [`${f.folder}: no model.safetensors and no model.safetensors.index.json`, 'models stored as pytorch_model.bin must be saved as safetensors first; of ONNX models name the .onnx file itself'] as const,
  index: (f: { folder: string }) => `${f.folder}: model.safetensors.index.json has no weight_map of names to files`,
  shardName: (f: { folder: string; file: string }) => `${f.folder}: shard ${f.file} is not a .safetensors file`,
  tooMany: (f: { folder: string; shards: number }) => `${f.folder}: ${f.shards} shards exceed the limit of ${maxShards}`,
  absent: (f: { folder: string; name: string; file: string }) => `${f.folder}: tensor ${f.name} is not in ${f.file}, where the index has it`,
  twice: (f: { folder: string; name: string }) => `${f.folder}: tensor ${f.name} is in two shards`,
});

export interface FolderTensors {
  readonly tensors: ReadonlyMap<string, TensorRef>;
  close(): Promise<void>;
}

const single = 'model.safetensors';
const indexFile = 'model.safetensors.index.json';

/** Opens every shard; their tensors are read when asked, until `close`. */
export async function openFolderTensors(folder: Folder): Promise<FolderTensors> {
  const places = (await folder.has(indexFile)) ? await readIndex(folder) : undefined;
  if (places === undefined && !(await folder.has(single))) throw errors.noWeights({ folder: folder.name });
  const files = places === undefined ? [single] : [...new Set(places.values())].sort();
  const sources: ByteSource[] = [];
  const close = async (): Promise<void> => { await Promise.all(sources.map((source) => source.close())); };
  try {
    const tensors = new Map<string, TensorRef>();
    for (const file of files) {
      const source = await folder.open(file);
      sources.push(source);
      const shard = await openSafetensors(source);
      for (const [name, tensor] of shard.tensors) {
        if (tensors.has(name)) throw errors.twice({ folder: folder.name, name });
        tensors.set(name, tensor);
      }
      for (const [name, place] of places ?? []) {
        if (place === file && !shard.tensors.has(name)) throw errors.absent({ folder: folder.name, name, file });
      }
    }
    return { tensors, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Tensor name → file. */
async function readIndex(folder: Folder): Promise<Map<string, string>> {
  const source = await folder.open(indexFile);
  const index = await readJson(source, { maxBytes: maxIndexBytes }).finally(() => source.close());
  const map = isJsonObject(index) ? index.weight_map : undefined;
  if (!isJsonObject(map)) throw errors.index({ folder: folder.name });
  const places = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string') throw errors.index({ folder: folder.name });
    if (!file.endsWith('.safetensors')) throw errors.shardName({ folder: folder.name, file: JSON.stringify(file.slice(0, 80)) });
    places.set(name, file);
  }
  const shards = new Set(places.values()).size;
  if (shards > maxShards) throw errors.tooMany({ folder: folder.name, shards });
  return places;
}
