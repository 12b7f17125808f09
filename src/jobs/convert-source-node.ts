/** Opens what is to be converted as it is stored; only what a move needs is read. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { defineErrors } from '../errors.ts';
import { openFile, openFolder } from '../files/fs-node.ts';
import { openGguf } from '../files/gguf.ts';
import { openUrl } from '../files/http.ts';
import type { ByteSource, Folder } from '../files/source.ts';
import type { ConvertTarget } from './convert.ts';
import type { Progress } from './progress.ts';
import { modelName } from './source-node.ts';

export interface Stored {
  readonly kind: ConvertTarget;
  readonly name: string;
  /** Absolute path, or the URL. */
  readonly location: string;
  /** The file; absent for a folder of safetensors. */
  readonly source: ByteSource | undefined;
  /** The folder itself, or the one that the file lies in; absent on the web. */
  readonly folder: Folder | undefined;
}

const errors = defineErrors('convert', {
  notFound: (f: { model: string }) => [`${f.model}: no such file or folder`, 'give a path, hf:owner/name, or a URL'] as const,
  unknownKind: (f: { model: string }) => [`${f.model}: nothing here that can be converted`, 'readable: .onnx, .gguf, .safetensors and importance matrices, and folders of safetensors'] as const,
});

/** Opens a path, URL or hub id; the caller closes the source. */
export async function openStored(model: string, progress: Progress): Promise<Stored> {
  if (model.startsWith('hf:')) {
    const { downloadModel } = await import('../files/hub-node.ts');
    const path = await downloadModel(model, { onProgress: (done, total, name) => { progress.phase(`download ${name}`, total); progress.advance(done); } });
    progress.end();
    return openStored(path, progress);
  }
  if (/^https?:\/\//.test(model)) return storedFile(await openUrl(model), model, undefined);
  if (!existsSync(model)) throw errors.notFound({ model });
  const location = resolve(model);
  if (statSync(location).isDirectory()) {
    const folder = await openFolder(location);
    for (const file of ['model.safetensors', 'model.safetensors.index.json']) {
      if (await folder.has(file)) return { kind: 'huggingface', name: basename(location), location, source: undefined, folder };
    }
    if (await folder.has('model.onnx')) return openStored(join(location, 'model.onnx'), progress);
    throw errors.unknownKind({ model });
  }
  const folder = await openFolder(dirname(location));
  // The weights of a folder stand for it.
  if (/\.safetensors$/i.test(location) && (await folder.has('config.json'))) return openStored(dirname(location), progress);
  return storedFile(await openFile(location), location, folder);
}

/** By content: names lie. Importance matrices of the older form have no mark and go by their name. */
async function storedFile(source: ByteSource, location: string, folder: Folder | undefined): Promise<Stored> {
  const name = modelName(/^https?:/.test(location) ? new URL(location).pathname : location);
  const stored = (kind: ConvertTarget): Stored => ({ kind, name, location, source, folder });
  try {
    const start = await source.read(0, Math.min(9, source.size));
    if (new TextDecoder('latin1').decode(start.subarray(0, 4)) === 'GGUF') {
      const kind = (await openGguf(source)).metadata.get('general.type');
      return stored(kind?.value === 'imatrix' ? 'imatrix' : 'gguf');
    }
    if (/\.(dat|imatrix)$/i.test(source.name)) return stored('imatrix');
    if (/\.onnx$/i.test(source.name.split(/[?#]/)[0])) return stored('onnx');
    if (start[8] === 0x7b) return stored('huggingface');
    throw errors.unknownKind({ model: location });
  } catch (error) {
    await source.close();
    throw error;
  }
}
