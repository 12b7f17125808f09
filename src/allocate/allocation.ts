/** Formats per layer under budgets of size, bit operations and time: the best choice, the whole fronts, and what single formats would do. */
import { defineErrors } from '../errors.ts';
import { chooseOptions } from './choose.ts';
import { paretoFront } from './pareto.ts';

/** Budgets beside size, and what layers take of them. */
export interface LayerLimits {
  /** 10⁹ bit operations for one sample. */
  readonly bops?: number;
  /** Time of the layers for one sample. */
  readonly milliseconds?: number;
}
export const limitNames = ['bops', 'milliseconds'] as const satisfies readonly (keyof LayerLimits)[];
export const limitUnits: Readonly<Record<keyof LayerLimits, string>> = { bops: '· 10⁹ bit operations', milliseconds: 'ms' };

/** Bits per weight of a float file: a budget of size that holds nothing back where only other budgets are given. */
export const noLimit = 32;

/** `4.25 bits`, `0.8 · 10⁹ bit operations`, `2.5 ms`: each budget that holds something back. */
export const budgetTexts = (bits: number, limits: LayerLimits, unit = 'bits'): string[] =>
  [...(bits === noLimit ? [] : [`${bits} ${unit}`]), ...limitNames.flatMap((name) => (limits[name] === undefined ? [] : [`${limits[name]} ${limitUnits[name]}`]))];

export interface FormatOption extends LayerLimits {
  readonly format: string;
  /** Bits of the whole layer as the file holds it. */
  readonly bits: number;
  readonly loss: number;
}

export interface LayerOptions {
  /** Weight id. */
  readonly id: string;
  /** Values of the weight. */
  readonly weights: number;
  readonly options: readonly FormatOption[];
  /** There is nothing to choose: the layer was given its only option, whatever others take. */
  readonly fixed?: boolean;
}

/** A point of size against loss. */
export interface AllocationPoint extends LayerLimits { readonly bitsPerWeight: number; readonly loss: number }

export interface Allocation {
  /** Bits per weight that were asked for, and those of the choice. */
  readonly budget: number;
  readonly bitsPerWeight: number;
  /** What the bits are of. */
  readonly counted: string;
  /** What losses are, with their unit. */
  readonly measure: string;
  /** Sum over layers, each measured with all others float. */
  readonly loss: number;
  /** With all layers low-bit together; absent without data. */
  readonly measured?: number;
  /** Every choice that no other beats in size and summed loss, by rising size; thinned. */
  readonly front: readonly AllocationPoint[];
  /** Of budgets beside size, where they were given: what was asked for and reached, what the float layers take, and every choice that no other beats in it and summed loss. */
  readonly limits?: readonly {
    readonly name: keyof LayerLimits; readonly counted: string; readonly budget: number; readonly reached: number; readonly float: number;
    readonly front: readonly { readonly use: number; readonly loss: number }[];
  }[];
  /** The same format in every layer that takes it. */
  readonly uniform: readonly (AllocationPoint & { readonly format: string; readonly measured?: number })[];
  readonly layers: readonly { readonly id: string; readonly weights: number; readonly format: string; readonly bits: number; readonly loss: number }[];
}

export interface AllocationBudget extends LayerLimits {
  /** Bits per weight of the file. */
  readonly bitsPerWeight: number;
  /** Weights of the model, and bits of everything that is not chosen here. */
  readonly weights: number;
  readonly rest: number;
  /** How smaller formats can be had, said where these do not reach the budget. */
  readonly offers?: string;
}

const errors = defineErrors('allocation', {
  tooLittle: (f: { budget: number; unit: string; least: string }) => [`${f.budget} ${f.unit} cannot be reached: the least that any choice takes is ${f.least}`, 'ask for more, or offer other formats with --candidates'] as const,
  tooFew: (f: { budget: number; least: string; rest: string; others: string | undefined }) =>
    [`${f.budget} bits per weight cannot be reached: the smallest choice takes ${f.least}, of which ${f.rest} are embeddings and what else is not chosen`, `ask for more bits${f.others === undefined ? '' : `, or ${f.others}`}`] as const,
});

/** Points of the front that are kept, at most. */
const shownPoints = 64;
/** States of the front's dynamic program per layer. */
const frontStates = 2000;

/** Index of the option per layer with the least summed loss within the budget. */
export async function chooseFormats(layers: readonly LayerOptions[], budget: AllocationBudget): Promise<readonly number[]> {
  const { bitsPerWeight, weights, rest } = budget;
  const least = rest + layers.reduce((sum, { options }) => sum + Math.min(...options.map(({ bits }) => bits)), 0);
  if (least > bitsPerWeight * weights) throw errors.tooFew({ budget: bitsPerWeight, least: (least / weights).toFixed(2), rest: (rest / weights).toFixed(2), others: rest < bitsPerWeight * weights ? budget.offers : undefined });
  const limits = limitNames.filter((name) => budget[name] !== undefined);
  for (const name of limits) {
    const reach = layers.reduce((sum, { options }) => sum + Math.min(...options.map((option) => option[name]!)), 0);
    if (reach > budget[name]!) throw errors.tooLittle({ budget: budget[name]!, unit: limitUnits[name], least: reach.toPrecision(3) });
  }
  const groups = layers.map(({ options }) => options.map((option) => ({ loss: option.loss, uses: [option.bits, ...limits.map((name) => option[name]!)] })));
  return (await chooseOptions(groups, [bitsPerWeight * weights - rest, ...limits.map((name) => budget[name]!)])).choice;
}

/** Whether a choice keeps all budgets. */
export function isWithin(layers: readonly LayerOptions[], choice: readonly number[], budget: AllocationBudget): boolean {
  const point = pointOf(layers, choice, budget);
  return point.bitsPerWeight <= budget.bitsPerWeight && limitNames.every((name) => budget[name] === undefined || point[name]! <= budget[name]!);
}

/** The option of every layer that has this format, layers whose option is fixed aside; undefined where a layer lacks it. */
export function uniformChoice(layers: readonly LayerOptions[], format: string): number[] | undefined {
  const choice = layers.map(({ options, fixed }) => (fixed === true ? 0 : options.findIndex((option) => option.format === format)));
  return choice.includes(-1) ? undefined : choice;
}

/** Size, summed loss and what else options say of a choice. */
export function pointOf(layers: readonly LayerOptions[], choice: readonly number[], { weights, rest }: Pick<AllocationBudget, 'weights' | 'rest'>): AllocationPoint {
  let bits = rest, loss = 0;
  layers.forEach(({ options }, i) => { bits += options[choice[i]].bits; loss += options[choice[i]].loss; });
  const uses = limitNames.filter((name) => layers.length > 0 && layers.every(({ options }) => options[0][name] !== undefined));
  const taken = Object.fromEntries(uses.map((name) => [name, layers.reduce((sum, { options }, i) => sum + options[choice[i]][name]!, 0)]));
  return { bitsPerWeight: bits / weights, loss, ...taken };
}

/** The front of size against summed loss. */
export function frontOf(layers: readonly LayerOptions[], { weights, rest }: Pick<AllocationBudget, 'weights' | 'rest'>): AllocationPoint[] {
  return front(layers, ({ bits }) => bits).map(({ cost, loss }) => ({ bitsPerWeight: (cost + rest) / weights, loss }));
}

/** The front of another use against summed loss. */
export const frontOfUse = (layers: readonly LayerOptions[], name: keyof LayerLimits): { use: number; loss: number }[] =>
  front(layers, (option) => option[name]!).map(({ cost, loss }) => ({ use: cost, loss }));

function front(layers: readonly LayerOptions[], costOf: (option: FormatOption) => number): { readonly cost: number; readonly loss: number }[] {
  const all = paretoFront(layers.map(({ options }) => options.map((option) => ({ cost: costOf(option), loss: option.loss }))), frontStates);
  const step = Math.max(1, (all.length - 1) / (shownPoints - 1));
  const kept = new Set(Array.from({ length: Math.min(all.length, shownPoints) }, (_, i) => Math.round(i * step)));
  return all.filter((_, i) => kept.has(i));
}
