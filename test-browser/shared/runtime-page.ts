/** In the page: a model from a Blob and from an address, in this thread and in a worker. */
import { blobSource, openOnnxFolder, openTextModel, openUrl, urlFolder } from '../../src/runtime/index.ts';
import { writtenBy, type Written } from './runtime.ts';

export const fromUrl = async (path: string): Promise<Written> => writtenBy(await openUrl(new URL(path, location.origin).href));

export async function fromBlob(path: string): Promise<Written> {
  const blob = await (await fetch(new URL(path, location.origin))).blob();
  return writtenBy(blobSource(path, blob));
}

/** The same module, loaded by a worker that answers with what it wrote. */
export async function inWorker(path: string): Promise<Written> {
  const script = `import(${JSON.stringify(`${location.origin}/entry.js`)}).then(async ({ fromUrl }) => postMessage(await fromUrl(${JSON.stringify(new URL(path, location.origin).href)})))`;
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: 'text/javascript' })), { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data as Written);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
  } finally {
    worker.terminate();
  }
}

/** A text by an ONNX file of a folder behind an address. */
export async function fromOnnx(folder: string, file: string, prompt: string): Promise<string> {
  const model = await openTextModel(await openOnnxFolder(urlFolder(new URL(folder, location.origin).href), file), { context: 64 });
  const pieces: string[] = [];
  for await (const piece of model.write(prompt, { maxTokens: 16 })) pieces.push(piece);
  model.dispose();
  return pieces.join('');
}

/** The message of what opening a damaged file ends with. */
export const refusal = async (path: string): Promise<string> => fromBlob(path).then(() => 'opened', (error: Error) => error.message);
