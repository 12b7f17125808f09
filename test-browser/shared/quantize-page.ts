/** In the page: the data-free main job on files that were fetched as Blobs. */
import { quantizeFiles, type NamedBlob, type WebRequest } from '../../src/web.ts';
import { digest } from './digest.ts';

/** SHA-256 of every file that the job makes, by path. `paths` lie in the assets folder and keep their names below it. */
export async function quantizedHashes(paths: readonly string[], request: WebRequest): Promise<Record<string, string>> {
  const given = await Promise.all(paths.map(async (path): Promise<NamedBlob> => ({ name: path, blob: await (await fetch(`/assets/${path}`)).blob() })));
  const { files } = await quantizeFiles(given, request);
  return Object.fromEntries(await Promise.all(files.map(async ({ path, blob }) => [path, await digest(new Uint8Array(await blob.arrayBuffer()))])));
}
