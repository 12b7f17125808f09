/**
 * Bits for layers that fall into groups judged by measures of different units, which never meet in one objective: the
 * budget is split between the groups first, each group then has its own integer program (MixDQ, arXiv:2405.17873,
 * section 4.3; groups as in ViDiT-Q, arXiv:2406.02540, section 4.3). Many splits are tried; which of the plans is best,
 * only the network itself can say. With one budget per program, the front of a group holds the solution of all of them.
 */
import { bestWithin, paretoFront } from './pareto.ts';

export interface MeasuredGroup {
  readonly name: string;
  /** Weights per layer. */
  readonly sizes: readonly number[];
  /** Bits that a layer may take, ascending. */
  readonly widths: readonly number[];
  /** By layer and width, to be made large; one unit within the group. */
  readonly scores: readonly (readonly number[])[];
}

export interface DecoupledOptions {
  /** Mean bits per weight that a plan may have at most. */
  readonly meanBits: number;
  /** How far below it plans are looked for, in bits. Default 0.3. */
  readonly slack?: number;
  /** Mean bits of each group over those of the last one, smallest to largest; 1, where all groups have as many, is always tried. Default 0.46 to 1.36. */
  readonly ratios?: readonly [number, number];
  /** Points along each of both ranges. Default 10. */
  readonly points?: number;
}

export interface DecoupledPlan {
  /** By group and layer. */
  readonly bits: readonly (readonly number[])[];
  readonly meanBits: number;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Mean bits per group of so many weights when the mean over all is given and groups relate as `ratios` (the last is 1). */
export function splitBudget(sizes: readonly number[], ratios: readonly number[], meanBits: number): number[] {
  const last = (meanBits * sum(sizes)) / sum(sizes.map((size, g) => size * ratios[g]));
  return ratios.map((ratio) => ratio * last);
}

/** Every plan that some split of some budget leads to, each once. A group has at most its share: the paper's band of 0.02 bits on both sides may hold no choice. */
export function decoupledPlans(groups: readonly MeasuredGroup[], options: DecoupledOptions): DecoupledPlan[] {
  const { meanBits, slack = 0.3, ratios: [least, most] = [0.46, 1.36], points = 10 } = options;
  const sizes = groups.map((group) => sum(group.sizes));
  const fronts = groups.map((group) => paretoFront(group.sizes.map((size, layer) => group.widths.map((width, k) => ({ cost: width * size, loss: -group.scores[layer][k] })))));
  const plans = new Map<string, DecoupledPlan>();
  for (const target of steps(meanBits - slack, meanBits, points)) {
    for (const ratios of vectors(groups.length - 1, [...new Set([...steps(least, most, points), 1])])) {
      const chosen = splitBudget(sizes, [...ratios, 1], target).map((share, g) => (share > groups[g].widths.at(-1)! ? undefined : bestWithin(fronts[g], share * sizes[g] * (1 + 1e-12))));
      if (!chosen.every((point) => point !== undefined)) continue;
      const bits = chosen.map(({ choice }, g) => choice.map((k) => groups[g].widths[k]));
      plans.set(JSON.stringify(bits), { bits, meanBits: sum(chosen.map(({ cost }) => cost)) / sum(sizes) });
    }
  }
  return [...plans.values()];
}

const steps = (from: number, to: number, points: number): number[] =>
  Array.from({ length: points }, (_, i) => (points === 1 ? to : from + ((to - from) * i) / (points - 1)));

/** Every list of so many entries of a set. */
const vectors = (length: number, of: readonly number[]): number[][] =>
  (length === 0 ? [[]] : vectors(length - 1, of).flatMap((rest) => of.map((value) => [...rest, value])));
