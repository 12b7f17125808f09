/** Heads that show what smoothing, groups and registers are for: channels of queries, keys and values with a bias that all tokens share. */
import { normal } from '../numeric/random.ts';
import { mean } from '../numeric/statistics.ts';
import { exactArithmetic, lowBitAttention, nothingSmoothed, type Accumulator, type AttentionArithmetic, type AttentionHead } from '../round/low-bit-attention.ts';
import type { RowGrouping } from '../round/attention-codes.ts';
import { scoreArm, scoreOf, type AttentionScore, type Part } from './attention-scores.ts';
import { percent } from './dit-arms.ts';
import { check, type Check } from './reproduction.ts';

const width = 64;

export interface SyntheticHeads { readonly plain: readonly AttentionHead[]; readonly uneven: readonly AttentionHead[] }

/** Unit normal tokens with a bias of 4 · normal per channel; uneven ones have norms by token as well, e^(normal / 2). */
export function biasedHeads(draws: number): SyntheticHeads {
  const make = (seed: number, count: number, uneven: boolean): AttentionHead => {
    const rows = (stream: number, bias: number): Float32Array => Float32Array.from({ length: count * width }, (_, i) =>
      normal(seed, stream, i) * (uneven ? Math.exp(normal(seed, stream + 20, Math.floor(i / width)) / 2) : 1) + bias * normal(seed, stream + 10, i % width));
    return { query: rows(1, 4), keys: rows(2, 4), values: rows(3, 0), width };
  };
  const all = (count: number, uneven: boolean): AttentionHead[] => Array.from({ length: draws }, (_, seed) => make(seed, count, uneven));
  return { plain: all(128, false), uneven: all(256, true) };
}

const scores = (heads: readonly AttentionHead[], how: AttentionArithmetic): AttentionScore[] =>
  heads.map((head) => scoreOf([lowBitAttention(head, exactArithmetic).output], [lowBitAttention(head, how).output]));

/** One scale per tensor: nothing, K, Q and K smoothed. K alone need not beat nothing, since queries still waste their range. */
export function smoothingChecks({ plain }: SyntheticHeads): Part {
  const ways = { 'nothing smoothed': nothingSmoothed, 'K smoothed': { queries: false, keys: true, values: false }, 'Q and K smoothed': { queries: true, keys: true, values: false } } as const;
  const found = new Map(Object.entries(ways).map(([name, smooth]) => [name, scores(plain, { smooth, codes: { bits: 4, grouping: 'tensor' } })]));
  const wide = scores(plain, { smooth: ways['K smoothed'], codes: { bits: 8, grouping: 'tensor' } });
  const of = (name: string) => found.get(name)!;
  const best = of('Q and K smoothed');
  const ahead = (other: string): Check => check(`biased heads: Q and K smoothed against ${other}`, 'more cosine in every draw', best.map((score, i) => `${score.cosine.toFixed(3)} against ${of(other)[i].cosine.toFixed(3)}`).join('; '), best.every((score, i) => score.cosine > of(other)[i].cosine));
  const l1 = (list: readonly AttentionScore[]): number => mean(list.map((score) => score.l1));
  return {
    notes: [], arms: [...[...found].map(([name, list]) => scoreArm(`biased heads, INT4 per tensor, ${name}`, list)), scoreArm('biased heads, INT8 per tensor, K smoothed', wide)],
    checks: [
      ahead('nothing smoothed'), ahead('K smoothed'),
      check('biased heads: relative L1, Q and K smoothed against nothing', 'less than half', `${percent(l1(best)).toFixed(1)} against ${percent(l1(of('nothing smoothed'))).toFixed(1)} %`, l1(best) < l1(of('nothing smoothed')) / 2),
    ],
  };
}

const peaked = 'the first three draws have nearly one-hot rows, whose outputs hardly err (relative L1 1.6 % or less by thread and by token); over twelve draws the means are 0.9867 by thread and 0.9931 by token, ahead in ten';

/** Finer groups where norms differ by token. */
export function groupChecks({ uneven }: SyntheticHeads): Part {
  const groupings: readonly RowGrouping[] = ['tensor', 'tile', 'warp', 'thread', 'token'];
  const found = groupings.map((grouping) => scores(uneven, { smooth: { queries: true, keys: true, values: false }, codes: { bits: 4, grouping } }));
  const means = found.map((list) => mean(list.map((score) => score.cosine)));
  return {
    notes: [], arms: found.map((list, i) => scoreArm(`biased heads of uneven tokens, INT4 per ${groupings[i]}, Q and K smoothed`, list)),
    checks: [check('biased heads of uneven tokens: groups', 'mean cosine per tensor ≤ tile ≤ warp < thread < token', means.map((value) => value.toFixed(4)).join(', '), means[0] <= means[1] && means[1] <= means[2] && means[2] < means[3] && means[3] < means[4], peaked)],
  };
}

/** FP8 products over 1024 keys whose values have a bias: registers, and what smoothing V saves them. */
export function accumulators(draws: number): Part {
  const count = 1024;
  const heads = Array.from({ length: draws }, (_, seed): AttentionHead => {
    const rows = (stream: number, bias: number, length: number): Float32Array => Float32Array.from({ length: length * width }, (_, i) => normal(seed + 50, stream, i) + bias * normal(seed + 50, stream + 10, i % width));
    return { query: rows(1, 0, 32), keys: rows(2, 0, count), values: rows(3, 4, count), width };
  });
  const smoothValues = { queries: false, keys: false, values: true };
  const find = (fp8: Accumulator, smooth: boolean): AttentionScore[] => scores(heads, { smooth: smooth ? smoothValues : nothingSmoothed, fp8 });
  const ways: Readonly<Record<string, readonly [Accumulator, boolean]>> = {
    'float sums': ['float', false], 'one register': ['single', false], 'two levels': ['two-level', false], 'halves, V up to 2.25': ['half', false], 'float sums, V smoothed': ['float', true], 'one register, V smoothed': ['single', true], 'two levels, V smoothed': ['two-level', true],
  };
  const found = new Map(Object.entries(ways).map(([name, [fp8, smooth]]) => [name, find(fp8, smooth)]));
  const l1 = (name: string): number => mean(found.get(name)!.map((score) => score.l1));
  const below = (a: string, b: string): Check => check(`biased values: ${a} against ${b}`, 'less error', `${percent(l1(a)).toFixed(3)} against ${percent(l1(b)).toFixed(3)} %`, l1(a) < l1(b));
  const near = l1('two levels') / l1('float sums');
  return {
    notes: [], arms: [...found].map(([name, list]) => scoreArm(`biased values, E4M3, ${name}`, list)),
    checks: [
      below('two levels', 'one register'), below('one register, V smoothed', 'one register'),
      check('biased values: two levels against float sums', 'at most a tenth more error', `${near.toFixed(3)} times`, near <= 1.1),
    ],
  };
}
