/** In the page: a model from a Blob and from an address, in this thread and in a worker. */
import { blobSource, openUrl } from '../../src/runtime/index.ts';
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

/** The message of what opening a damaged file ends with. */
export const refusal = async (path: string): Promise<string> => fromBlob(path).then(() => 'opened', (error: Error) => error.message);
