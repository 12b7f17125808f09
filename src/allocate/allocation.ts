/** Formats per layer under a budget of bits: the best choice, the whole front, and what single formats would do. */
import { defineErrors } from '../errors.ts';
import { chooseOptions } from './choose.ts';
import { paretoFront } from './pareto.ts';

export interface FormatOption {
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
}

/** A point of size against loss. */
export interface AllocationPoint { readonly bitsPerWeight: number; readonly loss: number }

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
  /** The same format in every layer that takes it. */
  readonly uniform: readonly (AllocationPoint & { readonly format: string; readonly measured?: number })[];
  readonly layers: readonly { readonly id: string; readonly weights: number; readonly format: string; readonly bits: number; readonly loss: number }[];
}

export interface AllocationBudget {
  /** Bits per weight of the file. */
  readonly bitsPerWeight: number;
  /** Weights of the model, and bits of everything that is not chosen here. */
  readonly weights: number;
  readonly rest: number;
}

const errors = defineErrors('allocation', {
  tooFew: (f: { budget: number; least: string; rest: string }) =>
    [`${f.budget} bits per weight cannot be reached: the smallest choice takes ${f.least}, of which ${f.rest} are embeddings and what else is not chosen`, 'ask for more bits, or offer finer formats, as --candidates plain,trellis does for ONNX files'] as const,
});

/** Points of the front that are kept, at most. */
const shownPoints = 64;
/** States of the front's dynamic program per layer. */
const frontStates = 2000;

/** Index of the option per layer with the least summed loss within the budget. */
export async function chooseFormats(layers: readonly LayerOptions[], { bitsPerWeight, weights, rest }: AllocationBudget): Promise<readonly number[]> {
  const least = rest + layers.reduce((sum, { options }) => sum + Math.min(...options.map(({ bits }) => bits)), 0);
  if (least > bitsPerWeight * weights) throw errors.tooFew({ budget: bitsPerWeight, least: (least / weights).toFixed(2), rest: (rest / weights).toFixed(2) });
  const groups = layers.map(({ options }) => options.map(({ bits, loss }) => ({ loss, uses: [bits] })));
  return (await chooseOptions(groups, [bitsPerWeight * weights - rest])).choice;
}

/** The option of every layer that has this format; undefined where a layer lacks it. */
export function uniformChoice(layers: readonly LayerOptions[], format: string): number[] | undefined {
  const choice = layers.map(({ options }) => options.findIndex((option) => option.format === format));
  return choice.includes(-1) ? undefined : choice;
}

/** Size and summed loss of a choice. */
export function pointOf(layers: readonly LayerOptions[], choice: readonly number[], { weights, rest }: Pick<AllocationBudget, 'weights' | 'rest'>): AllocationPoint {
  let bits = rest, loss = 0;
  layers.forEach(({ options }, i) => { bits += options[choice[i]].bits; loss += options[choice[i]].loss; });
  return { bitsPerWeight: bits / weights, loss };
}

/** The front of size against summed loss. */
export function frontOf(layers: readonly LayerOptions[], { weights, rest }: Pick<AllocationBudget, 'weights' | 'rest'>): AllocationPoint[] {
  const all = paretoFront(layers.map(({ options }) => options.map(({ bits, loss }) => ({ cost: bits, loss }))), frontStates);
  const step = Math.max(1, (all.length - 1) / (shownPoints - 1));
  const kept = new Set(Array.from({ length: Math.min(all.length, shownPoints) }, (_, i) => Math.round(i * step)));
  return all.filter((_, i) => kept.has(i)).map(({ cost, loss }) => ({ bitsPerWeight: (cost + rest) / weights, loss }));
}
