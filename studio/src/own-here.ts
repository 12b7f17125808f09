/** Takes the place of Node's reader where reproductions are built into the page: the same models and data from beside it. */
import { blobFolder } from '../../src/jobs/source-web.ts';
import { exampleFiles } from './examples.ts';

/** Files of the models that come with the page. */
const parts = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
/** Models that read no text. */
const wordless = new Set(['moving-digits']);

export const own = (path: string): string => path;

const blobAt = async (path: string): Promise<Blob> => (await exampleFiles([path]))[0].blob;

export const readBytes = async (path: string): Promise<Uint8Array> => new Uint8Array(await (await blobAt(path)).arrayBuffer());
export const readText = async (path: string): Promise<string> => (await blobAt(path)).text();

export const openFolder = async (path: string): Promise<ReturnType<typeof blobFolder>> =>
  blobFolder(await exampleFiles((wordless.has(path) ? parts.slice(0, 2) : parts).map((file) => `${path}/${file}`)));
