/** An integer program of two budgets, solved where this runs. */
import { chooseOptions, loadHighsFrom, type Candidate, type Chosen } from '../../src/allocate/choose.ts';
import { randomInteger, uniform } from '../../src/numeric/random.ts';

/** In a page, `address` is that of the module of HiGHS. */
export function solvedProgram(address?: string): Promise<Chosen> {
  if (address !== undefined) loadHighsFrom(address);
  const groups = Array.from({ length: 20 }, (_, group) => Array.from({ length: 5 }, (_unused, option): Candidate => ({
    loss: 10 ** (-6 * uniform(1, group, option)), uses: [1 + randomInteger(2, group, option, 40), 1 + randomInteger(3, group, option, 40)],
  })));
  return chooseOptions(groups, [350, 380]);
}
