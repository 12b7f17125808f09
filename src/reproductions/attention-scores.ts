/** What outputs of attention are judged by, on made heads as on those of hosts. */
import { cosine } from '../numeric/statistics.ts';
import { percent } from './dit-arms.ts';
import { measured, type Arm, type Check } from './reproduction.ts';

export interface AttentionScore { readonly cosine: number; readonly l1: number }

/** A part of the experiment. */
export interface Part { readonly arms: readonly Arm[]; readonly checks: readonly Check[]; readonly notes: readonly string[] }

/** Outputs of all heads together against exact ones. */
export function scoreOf(exact: readonly Float32Array[], found: readonly Float32Array[]): AttentionScore {
  const [a, b] = [exact, found].map((parts) => parts.flatMap((part) => [...part]));
  return { cosine: cosine(a, b), l1: a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.reduce((sum, value) => sum + Math.abs(value), 0) };
}

export const scoreArm = (name: string, list: readonly AttentionScore[]): Arm =>
  ({ name, metrics: { 'cosine': measured(list.map((score) => score.cosine)), 'relative L1, %': measured(list.map((score) => percent(score.l1))) } });
