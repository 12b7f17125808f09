/**
 * What runs measured and later runs need again, such as what each format costs in each layer: one JSON file per model, data
 * and settings under the user's cache folder. A file that is damaged or of another version counts as absent.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../files/fs-node.ts';
import type { Measurements } from '../recipes/state.ts';

/** Of the figures' meaning: a change in how they are measured takes a new number. */
const layout = 1;

/** `FEWBIT_CACHE`, else `fewbit` in the user's cache folder. */
export const cacheFolder = (): string => process.env.FEWBIT_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fewbit');

/** What figures belong to. */
export interface MeasuredOn {
  /** SHA-256 of the model's files. */
  readonly model: readonly string[];
  /** Stands for a model without files here. */
  readonly location: string;
  /** SHA-256 of the calibration data. */
  readonly data: string | undefined;
  readonly keep: readonly string[];
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Figures of one model on its data; nothing is kept where the folder cannot be written. */
export function measurementsNode({ model, location, data, keep }: MeasuredOn, folder = cacheFolder()): Measurements {
  const fileOf = (name: string): string => join(folder, `${sha256(JSON.stringify([layout, model.length > 0 ? model : location, data ?? null, keep, name]))}.json`);
  return {
    async read(name) {
      try {
        const { layout: found, values, sha256: sum } = JSON.parse(await readFile(fileOf(name), 'utf8')) as { layout: number; values: Record<string, number>; sha256: string };
        return found === layout && sha256(JSON.stringify(values)) === sum ? values : undefined;
      } catch {
        return undefined;
      }
    },
    async write(name, values) {
      try {
        await mkdir(folder, { recursive: true });
        await writeFileAtomic(fileOf(name), JSON.stringify({ layout, values, sha256: sha256(JSON.stringify(values)) }));
      } catch {
        // A run does not fail for what would have made the next one faster.
      }
    },
  };
}

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
