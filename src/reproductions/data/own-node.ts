/** Models and data that come with the repository, and how files at hand are read. The Studio puts `own-here.ts` in this place. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { openFolder } from '../../files/fs-node.ts';

export const own = (path: string): string => fileURLToPath(new URL(`../../../assets/${path}`, import.meta.url));

export const readBytes = (path: string): Promise<Uint8Array> => readFile(path);
export const readText = (path: string): Promise<string> => readFile(path, 'utf8');

export { openFolder };
