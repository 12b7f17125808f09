/** Reproductions in the page: the files that Node runs, on this page's engine and with the data beside it. */
import { questLlm } from '../../src/reproductions/quest-llm.ts';
import { reproduce, type Reproduction, type ReproductionReport } from '../../src/reproductions/reproduction.ts';
import type { Calls, Tell } from './protocol.ts';

const known: ReadonlyMap<string, Reproduction> = new Map([questLlm].map((one) => [one.recipe, one]));

export async function reproduceHere({ recipe }: Calls['reproduce']['give'], tell: Tell): Promise<ReproductionReport> {
  const found = known.get(recipe);
  if (found === undefined) throw new Error(`${recipe} needs data that does not come with this page`);
  return reproduce(found, { asset: (path) => path, seeds: [0], threads: 1, full: false, say: (line) => tell(line) });
}
