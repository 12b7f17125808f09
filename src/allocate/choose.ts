/**
 * Choosing one option per group so that losses add up to the least while several sums of uses (bytes, BOPs, latency)
 * keep their budgets: the multiple-choice knapsack as an integer program on HiGHS, as in HAWQ-V3 (arXiv:2011.10680,
 * section 3.4), Q-Palette (arXiv:2509.20214), LQ-LoRA (arXiv:2311.12023, section 3.2) and MixDQ (arXiv:2405.17873).
 *
 * For one budget whose whole trade-off is wanted, `pareto.ts` gives every point at once; with two budgets or more, with
 * a band, or with so many options that the front would be thinned, this one is exact.
 */
import { defineErrors } from '../errors.ts';

export interface Candidate {
  readonly loss: number;
  /** What the option takes of each budget. */
  readonly uses: readonly number[];
}

/** An upper bound, or a band. Bounds hold to one part in 10⁹. */
export type Budget = number | { readonly most: number; readonly least: number };

export interface Chosen {
  /** Index of the option taken per group. */
  readonly choice: readonly number[];
  readonly loss: number;
  /** Sum over groups, per budget. */
  readonly uses: readonly number[];
}

export const errors = defineErrors('choose', {
  empty: ({ group }: { group: number }) => `group ${group} has no options to choose from`,
  shape: ({ group, uses, budgets }: { group: number; uses: number; budgets: number }) => `an option of group ${group} has ${uses} uses, but there are ${budgets} budgets`,
  value: ({ group, value }: { group: number; value: number }) => `an option of group ${group} has the loss or use ${value}; finite numbers are needed`,
  budget: ({ budget, bound, reach }: { budget: number; bound: string; reach: number }) =>
    [`budget ${budget} asks for ${bound}, but the nearest sum that any choice has is ${reach}`, 'widen the budget, or offer smaller options'] as const,
  infeasible: ({ budgets }: { budgets: number }) => [`each of the ${budgets} budgets can be met alone, but no choice meets all of them`, 'widen one of them'] as const,
  tied: ({ groups }: { groups: readonly number[] }) => `groups ${groups.join(', ')} are tied but do not have the same number of options`,
  noSolver: ({ address, reason }: { address: string; reason: string }) => [`the solver of integer programs does not load from ${address}: ${reason}`, 'in a page, give the address of the module of the package highs to loadHighsFrom'] as const,
  solver: ({ status }: { status: string }) => `the integer program ended as ${status}`,
});

const tolerance = 1e-9;
/** What an objective is scaled to: HiGHS prices differences of 10⁻⁷ as none. */
const objectiveScale = 1e4;

interface Band { readonly most: number; readonly least: number }

/** The choice with the least loss; among choices with that loss, the one with the least uses (as shares of the budgets). */
export async function chooseOptions(groups: readonly (readonly Candidate[])[], budgets: readonly Budget[]): Promise<Chosen> {
  const bands = budgets.map((budget): Band => (typeof budget === 'number' ? { most: budget, least: -Infinity } : budget));
  check(groups, bands);
  const summed = (choice: readonly number[]): Chosen => ({
    choice,
    loss: choice.reduce((sum, option, group) => sum + groups[group][option].loss, 0),
    uses: bands.map((_, k) => choice.reduce((sum, option, group) => sum + groups[group][option].uses[k], 0)),
  });

  const least = groups.map((options) => Math.min(...options.map(({ loss }) => loss)));
  const excess = groups.map((options, group) => options.map(({ loss }) => loss - least[group]));
  const useful = bands.some(({ least: from }) => from > -Infinity) ? groups.map((options) => options.map(() => true)) : groups.map(undominated);
  const open = (bound: number): number[][] =>
    excess.map((losses, group) => losses.flatMap((loss, option) => (useful[group][option] && loss <= bound * (1 + tolerance) ? [option] : [])));
  const largest = Math.max(0, ...excess.flat());
  let bound = largest * groups.length;
  let best: Chosen | undefined;
  // What one option alone loses beyond a choice already found cannot be part of a better one. Without those the
  // losses that remain are of one magnitude, whatever the range of all of them was.
  for (let scale = largest; ; scale = bound) {
    const choice = await solve(open(bound), (group, option) => (scale === 0 ? 0 : excess[group][option] * (objectiveScale / scale)), rows(groups, bands));
    if (choice === undefined) throw errors.infeasible({ budgets: budgets.length });
    const found = choice.reduce((sum, option, group) => sum + excess[group][option], 0);
    if (best === undefined || found < bound) best = summed(choice);
    if (found === 0 || found > scale * 0.01 || found >= bound) {
      bound = Math.min(bound, found);
      break;
    }
    bound = found;
  }

  // Ties: the same losses as one more row, the uses as the objective.
  const size = bands.map(magnitude(groups));
  const row: Row = { at: (group, option) => (bound === 0 ? excess[group][option] : excess[group][option] / bound), least: -Infinity, most: bound === 0 ? 0 : 1 + tolerance };
  const use = (group: number, option: number): number => groups[group][option].uses.reduce((sum, used, k) => sum + used / size[k], 0) * objectiveScale;
  const frugal = await solve(open(bound), use, [...rows(groups, bands), row]);
  const other = frugal && summed(frugal);
  return other && other.loss <= best.loss + Math.abs(bound) * 2 * tolerance && total(other, size) < total(best, size) ? other : best;
}

/** Groups that must take the same option as one group each: losses and uses of option i add up. `ties` lists indices of groups. */
export function tieGroups(groups: readonly (readonly Candidate[])[], ties: readonly (readonly number[])[]): {
  readonly groups: Candidate[][];
  /** From a choice of the merged groups to one of the groups given. */
  readonly untie: (choice: readonly number[]) => number[];
} {
  const tied = new Set(ties.flat());
  const members = [...ties, ...groups.flatMap((_, group) => (tied.has(group) ? [] : [[group]]))].toSorted((a, b) => a[0] - b[0]);
  for (const list of members) if (list.some((group) => groups[group].length !== groups[list[0]].length)) throw errors.tied({ groups: list });
  return {
    groups: members.map((list) => groups[list[0]].map((first, option) => ({
      loss: list.reduce((sum, group) => sum + groups[group][option].loss, 0),
      uses: first.uses.map((_, k) => list.reduce((sum, group) => sum + groups[group][option].uses[k], 0)),
    }))),
    untie: (choice) => {
      const each = Array<number>(groups.length);
      members.forEach((list, at) => list.forEach((group) => (each[group] = choice[at])));
      return each;
    },
  };
}

/** Whether no other option of the group is as good in everything. Of equal options the first counts. */
const undominated = (options: readonly Candidate[]): boolean[] => options.map((one, i) => !options.some((other, j) => {
  if (i === j || other.loss > one.loss || other.uses.some((use, k) => use > one.uses[k])) return false;
  return j < i || other.loss < one.loss || other.uses.some((use, k) => use < one.uses[k]);
}));

const total = ({ uses }: Chosen, size: readonly number[]): number => uses.reduce((sum, used, k) => sum + used / size[k], 0);

interface Row extends Band { readonly at: (group: number, option: number) => number }

/** What a budget's numbers are of the order of. */
const magnitude = (groups: readonly (readonly Candidate[])[]) => ({ most }: Band, k: number): number =>
  (Number.isFinite(most) && most !== 0 ? Math.abs(most) : Math.max(...groups.flat().map(({ uses }) => Math.abs(uses[k])))) || 1;

const rows = (groups: readonly (readonly Candidate[])[], bands: readonly Band[]): Row[] => bands.map((band, k) => {
  const size = magnitude(groups)(band, k);
  return { at: (group, option) => groups[group][option].uses[k] / size, least: band.least / size, most: band.most / size };
});

/** A binary per option, one of each group; undefined where nothing satisfies the rows. */
async function solve(kept: readonly (readonly number[])[], objective: (group: number, option: number) => number, constraints: readonly Row[]): Promise<number[] | undefined> {
  const name = (group: number, option: number): string => `x${group}_${option}`;
  // The reader of the format has a longest line.
  const sum = (of: (group: number, option: number) => number): string =>
    kept.flatMap((options, group) => options.map((option) => `${signed(of(group, option))} ${name(group, option)}`)).join('\n');
  const text = [
    'minimize', `loss: ${sum(objective)}`, 'subject to',
    ...kept.map((options, group) => `g${group}: ${options.map((option) => name(group, option)).join('\n+ ')} = 1`),
    ...constraints.flatMap(({ at, least, most }, k) => [
      ...(most < Infinity ? [`most${k}: ${sum(at)} <= ${most}`] : []),
      ...(least > -Infinity ? [`least${k}: ${sum(at)} >= ${least}`] : []),
    ]),
    'binary', kept.flatMap((options, group) => options.map((option) => name(group, option))).join('\n'), 'end',
  ].join('\n');
  const solution = (await highs()).solve(text, {
    output_flag: false, random_seed: 0, mip_rel_gap: tolerance, mip_abs_gap: objectiveScale * tolerance,
    mip_feasibility_tolerance: tolerance, primal_feasibility_tolerance: tolerance, dual_feasibility_tolerance: tolerance,
  });
  if (solution.Status === 'Infeasible') return undefined;
  if (solution.Status !== 'Optimal') throw errors.solver({ status: solution.Status });
  const { Columns: columns } = solution as unknown as { Columns: Record<string, { Primal: number }> };
  return kept.map((options, group) => options.find((option) => columns[name(group, option)].Primal > 0.5)!);
}

/** The package declares a CommonJS module: its types see the loader one level deeper than it is. */
type LoadHighs = (typeof import('highs'))['default'];
let address = 'highs';
let loaded: ReturnType<LoadHighs> | undefined;

/** Where a page finds the module of the package `highs`, its .wasm file beside it; Node finds the package by its name. */
export function loadHighsFrom(url: string): void {
  address = url;
  loaded = undefined;
}

/** Bundlers do not see this import: where it runs in Node, the module asks for modules of Node, at which they stop. */
async function highs(): ReturnType<LoadHighs> {
  try {
    return await (loaded ??= import(address).then((module: { readonly default: LoadHighs }) => module.default()));
  } catch (error) {
    loaded = undefined;
    throw errors.noSolver({ address, reason: error instanceof Error ? error.message : String(error) });
  }
}

const signed = (value: number): string => (value < 0 ? `- ${-value}` : `+ ${value}`);

function check(groups: readonly (readonly Candidate[])[], bands: readonly Band[]): void {
  groups.forEach((options, group) => {
    if (options.length === 0) throw errors.empty({ group });
    for (const { loss, uses } of options) {
      if (uses.length !== bands.length) throw errors.shape({ group, uses: uses.length, budgets: bands.length });
      for (const value of [loss, ...uses]) if (!Number.isFinite(value)) throw errors.value({ group, value });
    }
  });
  bands.forEach(({ least, most }, k) => {
    const reach = (extreme: (...values: number[]) => number): number => groups.reduce((sum, options) => sum + extreme(...options.map(({ uses }) => uses[k])), 0);
    const [lowest, highest] = [reach(Math.min), reach(Math.max)];
    if (lowest > most + Math.abs(most) * tolerance) throw errors.budget({ budget: k, bound: `at most ${most}`, reach: lowest });
    if (highest < least - Math.abs(least) * tolerance) throw errors.budget({ budget: k, bound: `at least ${least}`, reach: highest });
  });
}
