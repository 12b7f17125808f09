/** Examples beside the page, as if a person had chosen them. */
import type { FileRef } from './protocol.ts';

export async function exampleFiles(paths: readonly string[]): Promise<FileRef[]> {
  // Workers lie in a folder of their own.
  const folder = new URL(typeof document === 'undefined' ? '../examples/' : 'examples/', location.href);
  return Promise.all(paths.map(async (path) => {
    const answer = await fetch(new URL(path, folder));
    if (!answer.ok) throw new Error(`${path}: the server answers ${answer.status}`);
    return { name: path, blob: await answer.blob(), example: true as const };
  }));
}
