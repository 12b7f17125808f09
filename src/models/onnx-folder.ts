/** Language models in ONNX files: fewbit's own and those of onnxruntime-genai's model builder, with the files of the folder that they lie in. */
import { defineErrors } from '../errors.ts';
import { openOnnx } from '../files/onnx.ts';
import type { Folder } from '../files/source.ts';
import type { Graph } from '../graph/graph.ts';
import { isGenai, openGenaiLanguageModel } from './genai-onnx.ts';
import { maxConfigBytes, type LanguageModel } from './language-model.ts';
import { languageNote, openOnnxLanguageModel } from './onnx-language-model.ts';
import { readObject, readTokenizerFiles } from './tokenizer-files.ts';

const errors = defineErrors('onnxFolder', {
  notLanguage: (f: { model: string }) => [`${f.model} is not a language model`, 'other networks run on inputs that are given with --data; ONNX files of language models are read where fewbit or the model builder of onnxruntime-genai wrote them'],
  config: (f: { model: string }) => [`${f.model} has no config.json beside it or in the folder above, which says what network it holds`, "put the model's config.json there, as folders of transformers.js have it"],
});

/** The model of a graph; config.json and the tokenizer come from the first folder that has them. */
export async function languageModelOf(graph: Graph, model: string, name: string, folders: readonly Folder[], close?: () => Promise<void>): Promise<LanguageModel> {
  const first = async <T>(read: (folder: Folder) => Promise<T | undefined>): Promise<T | undefined> => {
    for (const folder of folders) { const found = await read(folder); if (found !== undefined) return found; }
    return undefined;
  };
  if (isGenai(graph)) {
    const config = await first(async (folder) => (await folder.has('config.json') ? readObject(folder, 'config.json', maxConfigBytes) : undefined));
    if (config === undefined) throw errors.config({ model });
    return openGenaiLanguageModel(graph, config, name, await first(readTokenizerFiles), close);
  }
  if (!graph.metadata.has(languageNote)) throw errors.notLanguage({ model });
  return openOnnxLanguageModel(graph, name, await first(readTokenizerFiles), close);
}

/** Opens `file` of a folder such as transformers.js loads, `onnx/model_q4.onnx`; tensors in files beside it are read from there. */
export async function openOnnxFolder(folder: Folder, file: string): Promise<LanguageModel> {
  const path = file.slice(0, file.lastIndexOf('/') + 1);
  const own: Folder = { name: folder.name, list: async () => (await folder.list()).flatMap((name) => (name.startsWith(path) ? [name.slice(path.length)] : [])), has: (name) => folder.has(path + name), open: (name, options) => folder.open(path + name, options) };
  const source = await folder.open(file);
  try {
    return await languageModelOf(await openOnnx(source, own), file, file.slice(path.length).replace(/\.onnx$/i, ''), path === '' ? [folder] : [folder, own], () => source.close());
  } catch (error) {
    await source.close();
    throw error;
  }
}
