/** What the repository measured of each paper, put into the page when it is built. */
import type { StoredResult } from '../../src/cli/reproduction-results.ts';

const files = import.meta.glob<StoredResult>('../../assets/reproductions/*.json', { eager: true, import: 'default' });

/** By recipe; the protocol of the paper goes before the reduced one. */
export const measuredResults: ReadonlyMap<string, StoredResult> = new Map(Object.values(files).toSorted((a, b) => Number(a.full) - Number(b.full)).map((result) => [result.recipe, result]));

/** Share of a claim's checks that held here; undefined where nothing was measured. */
export function heldShare(recipe: string): number | undefined {
  const checks = measuredResults.get(recipe)?.checks;
  return checks === undefined || checks.length === 0 ? undefined : checks.filter(({ holds }) => holds).length / checks.length;
}
