/**
 * Opens what a user calls a model: an ONNX file, a Hugging Face folder, a GGUF file; on disk, on the web
 * or in the Hugging Face hub. The source is only ever read.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { defineErrors } from '../errors.ts';
import { openFile, openFolder } from '../files/fs-node.ts';
import { parseSplitName, splitName } from '../files/gguf-split.ts';
import { openUrl, urlFolder } from '../files/http.ts';
import { openOnnxModel as readOnnx } from '../files/onnx.ts';
import type { ByteSource, Folder } from '../files/source.ts';
import { openGgufLanguageModel } from '../models/gguf-model.ts';
import { openLanguageModel } from '../models/language-model.ts';
import { silentProgress, type Progress } from './progress.ts';
import { modernModel } from './recipe-runner.ts';
import { graphSource, languageSource, type SourceModel } from './source.ts';

const errors = defineErrors('source', {
  notFound: (f: { model: string }) => [`${f.model}: no such file or folder`, 'give a path, hf:owner/name, or a URL'],
  unknownKind: (f: { model: string }) => [`${f.model}: not a model that can be read`, 'readable: .onnx and .gguf files, and folders with config.json and safetensors'],
});

/** Name of a model without folder and extension; `model.onnx` and the like are named after their folder. */
export function modelName(path: string): string {
  const stem = parseSplitName(basename(path))?.stem ?? basename(path, extname(path)).replace(/^derived_/, '');
  if (!/^(model|onnx)$/i.test(stem)) return stem;
  const folder = dirname(resolve(path));
  // Folders of transformers.js hold their files in one named so.
  return basename(folder) === 'onnx' ? basename(dirname(folder)) : basename(folder);
}

export const isUrl = (location: string): boolean => /^https?:\/\//.test(location);

/** The folder of a file on disk or on the web, and the one above. */
export async function foldersAround(file: string): Promise<Folder[]> {
  const folder = dirname(resolve(file));
  if (!isUrl(file)) return Promise.all([openFolder(folder), openFolder(dirname(folder))]);
  const above = new URL('..', file);
  above.search = new URL(file).search;
  return [urlFolder(file), urlFolder(above.href)];
}

async function openOnnxModel(source: ByteSource, location: string): Promise<SourceModel> {
  const local = existsSync(location);
  try {
    const { graph, close } = await readOnnx(source, local ? await openFolder(dirname(resolve(location))) : isUrl(location) ? urlFolder(location) : undefined);
    return graphSource(graph, modelName(location), location, local ? [location] : [], async () => { await close(); await source.close(); });
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openGgufModel(source: ByteSource, location: string): Promise<SourceModel> {
  const local = existsSync(location);
  const split = parseSplitName(location);
  const files = !local ? [] : split === undefined ? [location] : Array.from({ length: split.count }, (_, index) => splitName(split.stem, index, split.count)).filter(existsSync);
  return languageSource(await openGgufLanguageModel(source, local ? await openFolder(dirname(location)) : undefined), modelName(location), location, 'gguf', files);
}

/** Opens a model by path, URL or hub id. */
export async function openSource(model: string, progress: Progress = silentProgress): Promise<SourceModel> {
  if (model.startsWith('hf:')) {
    const { downloadModel } = await import('../files/hub-node.ts');
    let file = '';
    const path = await downloadModel(model, {
      onProgress: (done, total, name) => {
        if (name !== file) progress.phase(`download ${name}`, total);
        file = name;
        progress.advance(done);
      },
    });
    progress.end();
    return openSource(path, progress);
  }
  if (isUrl(model)) {
    const source = await openUrl(model);
    const path = new URL(model).pathname;
    if (path.endsWith('.gguf')) return openGgufModel(source, model);
    if (path.endsWith('.onnx')) return openOnnxModel(source, model);
    throw errors.unknownKind({ model });
  }
  if (!existsSync(model)) throw errors.notFound({ model });
  const location = resolve(model);
  if (statSync(location).isDirectory()) {
    const folder = await openFolder(location);
    if (!(await folder.has('config.json'))) {
      if (await folder.has('model.onnx')) return openSource(join(location, 'model.onnx'), progress);
      throw errors.unknownKind({ model });
    }
    const language = await openLanguageModel(folder);
    const files = (await folder.list()).filter((file) => /\.(safetensors|json|jinja|txt)$/.test(file) && !file.includes('/')).map((file) => join(location, file));
    return languageSource(language, basename(location), location, 'huggingface', files);
  }
  const source = await openFile(location);
  const magic = new TextDecoder('latin1').decode(await source.read(0, Math.min(4, source.size)));
  if (magic === 'GGUF') return openGgufModel(source, location);
  if (location.endsWith('.onnx')) return openOnnxModel(source, location);
  if (location.endsWith('.safetensors') && existsSync(join(dirname(location), 'config.json'))) return openSource(dirname(location), progress);
  await source.close();
  throw errors.unknownKind({ model });
}

/** As `openSource`; plain graphs are brought to one operator set, with constants folded: real files arrive at old ones. */
export async function openModern(model: string, progress: Progress = silentProgress): Promise<SourceModel> {
  const opened = await openSource(model, progress);
  try {
    return await modernModel(opened);
  } catch (error) {
    await opened.close();
    throw error;
  }
}
