/** Opens files for `inspect`: ONNX, GGUF and safetensors, alone or in folders, on disk, on the web or in the hub. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { defineErrors } from '../errors.ts';
import { openFile, openFolder } from '../files/fs-node.ts';
import { openGguf, type GgufValue } from '../files/gguf.ts';
import { openUrl } from '../files/http.ts';
import { isJsonObject, readJson, type Json } from '../files/json.ts';
import { openOnnxModel } from '../files/onnx.ts';
import { openSafetensors } from '../files/safetensors.ts';
import type { ByteSource, Folder } from '../files/source.ts';
import { openFolderTensors } from '../models/safetensors-folder.ts';
import type { Inspectable } from './inspect.ts';

const errors = defineErrors('inspect', {
  notFound: (f: { model: string }) => [`${f.model}: no such file or folder`, 'give a path, hf:owner/name, or a URL'],
  nothing: (f: { model: string }) => [`${f.model}: nothing here that can be inspected`, 'readable: .onnx, .gguf and .safetensors files, and folders of them'],
});

/** Every model that a path, URL or hub id stands for: one, or each file of a plain folder. The caller closes them. */
export async function openInspectables(model: string): Promise<Inspectable[]> {
  if (model.startsWith('hf:')) {
    const { downloadModel } = await import('../files/hub-node.ts');
    return openInspectables(await downloadModel(model));
  }
  if (/^https?:\/\//.test(model)) return [await openSource(await openUrl(model), undefined)];
  if (!existsSync(model)) throw errors.notFound({ model });
  if (!statSync(model).isDirectory()) return [await openSource(await openFile(model), await openFolder(dirname(resolve(model))))];
  const folder = await openFolder(model);
  const files = (await folder.list()).filter((file) => /\.(onnx|gguf|safetensors)$/i.test(file)).sort();
  const opened: Inspectable[] = [];
  try {
    const whole = (await folder.has('config.json')) && files.some((file) => /^model.*\.safetensors$/.test(file));
    if (whole) opened.push(await openHuggingFace(folder, basename(resolve(model))));
    for (const file of files) {
      if (whole && file.endsWith('.safetensors')) continue;
      const place = join(model, file);
      opened.push(await openSource(await openFile(place), await openFolder(dirname(resolve(place)))));
    }
  } catch (error) {
    await Promise.all(opened.map((each) => each.close()));
    throw error;
  }
  if (opened.length === 0) throw errors.nothing({ model });
  return opened;
}

/** By content: names lie. */
async function openSource(source: ByteSource, folder: Folder | undefined): Promise<Inspectable> {
  const { name, size: bytes } = source;
  try {
    const start = await source.read(0, Math.min(9, bytes));
    if (new TextDecoder('latin1').decode(start.subarray(0, 4)) === 'GGUF') {
      const { tensors, metadata, version } = await openGguf(source);
      return { name, kind: 'gguf', bytes, tensors, metadata: [['GGUF version', String(version)], ...[...metadata].map(([key, value]) => [key, ggufText(value)] as const)], close: () => source.close() };
    }
    if (/\.safetensors$/i.test(name) || start[8] === 0x7b) {
      const { tensors, metadata } = await openSafetensors(source);
      return { name, kind: 'safetensors', bytes, tensors, metadata: [...metadata].map(([key, value]) => [key, cut(value)]), close: () => source.close() };
    }
    const { graph, irVersion, producer, externalFiles, close } = await openOnnxModel(source, folder);
    const opsets = [...graph.opset].map(([domain, version]) => `${domain === '' ? 'ai.onnx' : domain} ${version}`).join(', ');
    return {
      name, kind: 'onnx', bytes: bytes + await sizes(folder, externalFiles), tensors: graph.weights, graph,
      metadata: [
        ['operator sets', opsets], ['IR version', String(irVersion)], ['producer', producer === '' ? 'not told' : cut(producer)],
        ...(externalFiles.length === 0 ? [] : [['external data', externalFiles.join(', ')] as const]), ...[...graph.metadata].map(([key, value]) => [key, cut(value)] as const),
      ],
      close: async () => { await close(); await source.close(); },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openHuggingFace(folder: Folder, name: string): Promise<Inspectable> {
  const { tensors, close } = await openFolderTensors(folder);
  try {
    const source = await folder.open('config.json');
    const config = await readJson(source).finally(() => source.close());
    const files = (await folder.list()).filter((file) => file.endsWith('.safetensors') && !file.includes('/'));
    return {
      name, kind: 'safetensors', bytes: await sizes(folder, files), tensors, close,
      metadata: isJsonObject(config) ? Object.entries(config).map(([key, value]) => [key, cut(jsonText(value))]) : [],
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function sizes(folder: Folder | undefined, files: readonly string[]): Promise<number> {
  let total = 0;
  for (const file of folder === undefined ? [] : files) {
    const source = await folder!.open(file);
    total += source.size;
    await source.close();
  }
  return total;
}

const jsonText = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Metadata is named, not printed whole. */
const cut = (text: string): string => (text.length <= 120 ? text : `${text.slice(0, 100)}… (${text.length} characters)`);

function ggufText(value: GgufValue): string {
  if (value.type !== 'array') return cut(String(value.value));
  const { length } = value.value;
  return length <= 8 ? cut(`[${Array.from(value.value as ArrayLike<unknown>, String).join(', ')}]`) : `${length} of type ${value.of}`;
}
