/**
 * Widths per layer from the traces of the Hessian: Ω = Tr(H)/n · ‖W − Q(W)‖², summed over layers and least within budgets
 * of size, bit operations or latency (HAWQ-V3, arXiv:2011.10680, section 3.4; HAWQ-V2, arXiv:1911.03852).
 */
import { chooseOptions, tieGroups, type Candidate, type Chosen } from './choose.ts';
import type { TracedLayer } from './mean-bits.ts';

export interface WidthOption {
  /** ‖W − Q(W)‖². */
  readonly error: number;
  /** What it takes of each budget. */
  readonly uses: readonly number[];
}

export interface TracedOptions extends TracedLayer {
  /** Layers of one tie take the same option. */
  readonly tie?: string;
  readonly options: readonly WidthOption[];
}

/** What rounding a layer costs; a trace that came out below zero counts as zero. */
export const omega = ({ trace, count }: TracedLayer, { error }: Pick<WidthOption, 'error'>): number => (Math.max(trace, 0) / count) * error;

/**
 * The option of each layer. A budget is a share r of what lies between the least and the most that the layers can take:
 * least + r (most − least); undefined is no budget.
 */
export async function chooseByTrace(layers: readonly TracedOptions[], shares: readonly (number | undefined)[]): Promise<Chosen> {
  const candidates = layers.map((layer) => layer.options.map((option): Candidate => ({ loss: omega(layer, option), uses: option.uses })));
  const { groups, untie } = tieGroups(candidates, tiesOf(layers));
  const budgets = shares.map((share, k) => {
    if (share === undefined) return Infinity;
    const sum = (extreme: (...values: number[]) => number): number => layers.reduce((total, { options }) => total + extreme(...options.map(({ uses }) => uses[k])), 0);
    return sum(Math.min) + share * (sum(Math.max) - sum(Math.min));
  });
  const chosen = await chooseOptions(groups, budgets);
  return { ...chosen, choice: untie(chosen.choice) };
}

/** Indices of layers that belong together, where there are several. */
function tiesOf(layers: readonly TracedOptions[]): number[][] {
  const ties = new Map<string, number[]>();
  layers.forEach(({ tie }, i) => {
    if (tie !== undefined) ties.set(tie, [...(ties.get(tie) ?? []), i]);
  });
  return [...ties.values()].filter((list) => list.length > 1);
}
