/** Results of reproductions as the repository keeps them: one JSON file per recipe and protocol, shown by `fewbit recipes NAME`. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from '../files/fs-node.ts';
import type { ReproductionReport } from '../reproductions/reproduction.ts';

export interface StoredResult extends ReproductionReport {
  readonly environment: { readonly fewbit: string; readonly node: string; readonly platform: string; readonly cpu: string };
}

/** Beside the models that the package ships. */
export const resultsFolder = fileURLToPath(new URL('../../assets/reproductions', import.meta.url));

const fileOf = (recipe: string, full: boolean): string => `${recipe}${full ? '.full' : ''}.json`;

/** What was measured last by the reduced and by the full protocol, as far as it is kept. */
export function storedResults(recipe: string, folder = resultsFolder): StoredResult[] {
  return [false, true].map((full) => join(folder, fileOf(recipe, full))).filter((path) => existsSync(path)).map((path) => JSON.parse(readFileSync(path, 'utf8')) as StoredResult);
}

/** Figures keep seven digits: more are noise of the last operation. */
const rounded = (_key: string, value: unknown): unknown => (typeof value !== 'number' ? value : Number.isFinite(value) ? Number(value.toPrecision(7)) : String(value));

/** Writes a result where `storedResults` finds it; returns the path. */
export async function storeResult(result: StoredResult, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, fileOf(result.recipe, result.full));
  await writeFileAtomic(path, `${JSON.stringify(result, rounded, 1)}\n`);
  return path;
}
