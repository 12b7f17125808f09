/** Opens a model from files that a page holds or reaches: what a user dropped or chose, one by one or as a folder; or any folder that can be listed. */
import { defineErrors } from '../errors.ts';
import { parseSplitName } from '../files/gguf-split.ts';
import { openOnnxModel } from '../files/onnx.ts';
import { blobSource, type Folder } from '../files/source.ts';
import { openGgufLanguageModel } from '../models/gguf-model.ts';
import { openLanguageModel } from '../models/language-model.ts';
import { graphSource, languageSource, type SourceModel } from './source.ts';

/** A file with its path, such as a File and its `webkitRelativePath`. */
export interface NamedBlob { readonly name: string; readonly blob: Blob }

const errors = defineErrors('files', {
  noModel: (f: { names: string }) => [`no model among the files: ${f.names}`, 'readable: .onnx and .gguf files, and folders with config.json and safetensors'],
  severalModels: (f: { names: string }) => [`several models among the files: ${f.names}`, 'give one, with the files that belong to it'],
  missing: (f: { name: string }) => [`${f.name} is not among the files`, 'give all files of the model together, or its whole folder'],
});

/** The files as a folder; a first part that all paths share is the folder's name. */
export function blobFolder(files: readonly NamedBlob[]): Folder {
  const top = files[0]?.name.includes('/') ? files[0].name.slice(0, files[0].name.indexOf('/') + 1) : '';
  const shared = top !== '' && files.every(({ name }) => name.startsWith(top)) ? top : '';
  const blobs = new Map(files.map(({ name, blob }) => [name.slice(shared.length), blob]));
  return {
    name: shared === '' ? 'model' : shared.slice(0, -1),
    list: async () => [...blobs.keys()],
    has: async (file) => blobs.has(file),
    open: async (file) => {
      const blob = blobs.get(file);
      if (blob === undefined) throw errors.missing({ name: file });
      return blobSource(file, blob);
    },
  };
}

/** Name of a model by its file; `model.onnx` and the like are named after their folder. */
function modelName(path: string, folder: Folder): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  const stem = parseSplitName(file)?.stem ?? file.replace(/\.\w+$/, '');
  return /^(model|onnx)$/i.test(stem) ? folder.name : stem;
}

/** The model among the files: a Hugging Face folder, or one .onnx (with its external data) or .gguf file. */
export const openBlobs = (files: readonly NamedBlob[]): Promise<SourceModel> => openModelIn(blobFolder(files));

/** The model in a folder that can be listed, wherever its files are read from. */
export async function openModelIn(folder: Folder): Promise<SourceModel> {
  const names = await folder.list();
  if (names.includes('config.json') && names.some((name) => name.endsWith('.safetensors'))) {
    return languageSource(await openLanguageModel(folder), folder.name, folder.name, 'huggingface', []);
  }
  // A model in several GGUF files is opened by its first.
  const models = names.filter((name) => /\.(onnx|gguf)$/i.test(name) && (parseSplitName(name)?.index ?? 0) === 0);
  if (models.length === 0) throw errors.noModel({ names: names.slice(0, 8).join(', ') });
  if (models.length > 1) throw errors.severalModels({ names: models.slice(0, 8).join(', ') });
  const [path] = models;
  const source = await folder.open(path);
  // External data is named relative to the model.
  const beside = path.slice(0, path.lastIndexOf('/') + 1);
  const data: Folder = { ...folder, has: (file) => folder.has(beside + file), open: (file) => folder.open(beside + file) };
  const name = modelName(path, folder);
  if (/\.gguf$/i.test(path)) return languageSource(await openGgufLanguageModel(source, data), name, path, 'gguf', []);
  const { graph, close } = await openOnnxModel(source, data);
  return graphSource(graph, name, path, [], close);
}
