/** What the steps of a recipe put into a file beside the weights of the model, as far as shapes alone tell. */
import type { Linear } from '../../graph/linear.ts';
import type { Recipe } from '../../recipes/recipe.ts';
import { lowRankOf } from '../../recipes/steps/decompose.ts';
import { rankOf } from '../../recipes/steps/shared-inputs.ts';
import type { TensorLine } from '../result.ts';

export interface Additions {
  /** Float branches, under the names that they take in the file unless names are taken. */
  readonly tensors: readonly TensorLine[];
  /** Columns of each weight that lie in the file again, as a share of all. */
  readonly copied: number;
  /** What only data can tell, as half sentences. */
  readonly open: readonly string[];
}

/** Of the layers whose weights are rounded, MatMul and Gemm. */
export function additionsOf(recipe: Recipe | undefined, sites: readonly Linear[]): Additions {
  const tensors: TensorLine[] = [];
  const open: string[] = [];
  let copied = 0;
  for (const step of recipe?.steps ?? []) {
    if (step.step === 'low-rank') for (const group of byInput(sites)) tensors.push(...branchLines(group, rankOf(step.rank, group)));
    else if (step.step === 'decompose') for (const site of sites) tensors.push(...branchLines([site], lowRankOf(step.rank, site)));
    else if (step.step === 'residual-channels' && step.channels === 'rule') open.push('channels that the recipe copies, up to all of a layer, as the data say');
    else if (step.step === 'residual-channels') copied += Number(step.channels);
  }
  return { tensors, copied, open };
}

const byInput = (sites: readonly Linear[]): Linear[][] => {
  const groups = new Map<string, Linear[]>();
  for (const site of sites) groups.set(site.input, [...(groups.get(site.input) ?? []), site]);
  return [...groups.values()];
};

function branchLines(sites: readonly Linear[], rank: number): TensorLine[] {
  if (rank === 0) return [];
  const line = (name: string, shape: readonly number[]): TensorLine => ({ name, shape, source: 'none', target: 'f16', bytesBefore: 0, bytesAfter: 2 * shape[0] * shape[1] });
  return [line(`${sites[0].id}_down`, [sites[0].cols, rank]), ...sites.map((site) => line(`${site.id}_up`, [rank, site.rows]))];
}
