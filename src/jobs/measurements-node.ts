/** Figures that runs measured, in files under the user's cache folder. */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../files/fs-node.ts';
import type { Measurements } from '../recipes/state.ts';
import { measurementsIn, type MeasuredOn } from './measurements.ts';

/** `FEWBIT_CACHE`, else `fewbit` in the user's cache folder. */
export const cacheFolder = (): string => process.env.FEWBIT_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fewbit');

/** Figures of one model on its data; nothing is kept where the folder cannot be written. */
export const measurementsNode = (on: MeasuredOn, folder = cacheFolder()): Measurements => measurementsIn({
  large: false,
  read: (file) => readFile(join(folder, file)).catch(() => undefined),
  async write(file, bytes) {
    try {
      await mkdir(folder, { recursive: true });
      await writeFileAtomic(join(folder, file), bytes);
    } catch {
      // A run does not fail for what would have made the next one faster.
    }
  },
}, on);

/** Files and bytes that the folder holds. */
export async function cacheSize(folder = cacheFolder()): Promise<{ readonly files: number; readonly bytes: number }> {
  const names = await readdir(folder).catch((): string[] => []);
  const sizes = await Promise.all(names.filter((name) => name.endsWith('.json')).map(async (name) => (await stat(join(folder, name))).size));
  return { files: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Removes the figures; other files of the folder stay. */
export async function clearCache(folder = cacheFolder()): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  await Promise.all(names.filter((name) => /^[0-9a-f]{64}\.json$/.test(name)).map((name) => rm(join(folder, name), { force: true })));
}
