/** What the repository measured of each paper, put into the page when it is built. */
import type { StoredResult } from '../../src/cli/reproduction-results.ts';
import { effectOf, type Effect } from '../../src/recipes/catalogue-effects.ts';

const files = import.meta.glob<StoredResult>('../../assets/reproductions/*.json', { eager: true, import: 'default' });

/** By recipe; the protocol of the paper goes before the reduced one. */
export const measuredResults: ReadonlyMap<string, StoredResult> = new Map(Object.values(files).toSorted((a, b) => Number(a.full) - Number(b.full)).map((result) => [result.recipe, result]));

/** What the method was worth, where two arms say so. */
export function measuredEffect(recipe: string): Effect | undefined {
  const result = measuredResults.get(recipe);
  return result === undefined ? undefined : effectOf(recipe, result.arms);
}

/** Share of a claim's checks that held here; undefined where nothing was measured. */
export function heldShare(recipe: string): number | undefined {
  const checks = measuredResults.get(recipe)?.checks;
  return checks === undefined || checks.length === 0 ? undefined : checks.filter(({ holds }) => holds).length / checks.length;
}
