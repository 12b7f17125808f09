/**
 * A reproduction: the small experiment that shows a recipe's claim, or fails to. It says what the paper claims, runs the
 * arms in one process on the same data, and checks what was expected before it ran. A check that does not hold stays as
 * it is, with what was found instead.
 */
export interface Measured {
  /** Mean over the runs, and the standard deviation of a single run; 0 for one run. */
  readonly mean: number;
  readonly spread: number;
  readonly runs: number;
}

export interface Arm {
  readonly name: string;
  readonly metrics: Readonly<Record<string, Measured>>;
}

export interface Check {
  readonly name: string;
  readonly expected: string;
  readonly measured: string;
  readonly holds: boolean;
  /** The paper's own figure, where there is one to set beside it. */
  readonly paper?: string;
  /** Why it does not hold, as far as is known. */
  readonly finding?: string;
}

/** An arm of the claim that these hosts cannot show: neither a pass nor a failure. */
export interface NotApplicable {
  readonly arm: string;
  readonly reason: string;
}

export interface Outcome {
  readonly arms: readonly Arm[];
  readonly checks: readonly Check[];
  readonly notApplicable?: readonly NotApplicable[];
  /** What was run of the paper's protocol, by name: images, steps, iterations. */
  readonly protocol?: Readonly<Record<string, number | string>>;
  /** Model, data and settings, one line each. */
  readonly notes: readonly string[];
}

export interface ReproductionContext {
  /** Absolute path of a file of the assets. */
  asset(path: string): string;
  readonly seeds: readonly number[];
  readonly threads: number;
  /** The protocol of the paper as far as the hosts allow, instead of the one that takes minutes. */
  readonly full: boolean;
  /** In a browser: on what comes with the page, in the few minutes that a reader waits. What is left out is named. */
  readonly page: boolean;
  /** One line about what is going on. */
  say(line: string): void;
}

export interface Reproduction {
  /** Name of the recipe. */
  readonly recipe: string;
  readonly paper: { readonly title: string; readonly arxiv: string };
  /** What the paper claims, as the paper's. */
  readonly claim: string;
  /** What is run here instead, in one sentence. */
  readonly experiment: string;
  /** Files and folders that must be there, relative to the assets. */
  readonly data: readonly string[];
  /** Minutes that it takes on two cores. */
  readonly minutes: number;
  run(context: ReproductionContext): Promise<Outcome>;
}

export interface ReproductionReport extends Outcome {
  readonly recipe: string;
  readonly paper: Reproduction['paper'];
  readonly claim: string;
  readonly experiment: string;
  readonly full: boolean;
  /** Run in a browser, by the short protocol. */
  readonly page?: true;
  readonly seeds: readonly number[];
  readonly threads: number;
  readonly seconds: number;
}

/** Mean and standard deviation of one metric over runs. */
export function measured(values: readonly number[]): Measured {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, spread: values.length > 1 ? Math.sqrt(square / (values.length - 1)) : 0, runs: values.length };
}

/** A check; what was found is kept where it does not hold. */
export const check = (name: string, expected: string, value: string, holds: boolean, finding?: string): Check =>
  ({ name, expected, measured: value, holds, ...(holds || finding === undefined ? {} : { finding }) });

/** A part that a page leaves out. */
export const notInPage = (arm: string, reason: string): NotApplicable => ({ arm, reason: `not in a page: ${reason}` });

/** Runs it and times it. */
export async function reproduce(reproduction: Reproduction, context: ReproductionContext): Promise<ReproductionReport> {
  const started = performance.now();
  const { recipe, paper, claim, experiment } = reproduction;
  const outcome = await reproduction.run(context);
  return { recipe, paper, claim, experiment, ...outcome, full: context.full, ...(context.page ? { page: true as const } : {}), seeds: context.seeds, threads: context.threads, seconds: (performance.now() - started) / 1000 };
}
