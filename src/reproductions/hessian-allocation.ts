/** Do the traces of the Hessian choose the layers that can have 4 bits? Choices by an integer program beside random ones of the same size. */
import { chooseByTrace, omega, type TracedOptions } from '../allocate/by-trace.ts';
import { chooseOptions } from '../allocate/choose.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { permutation } from '../numeric/random.ts';
import { spearman } from '../numeric/statistics.ts';
import type { Dataset } from '../observe/data/index.ts';
import { weightTrials } from '../observe/weight-trials.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { ownTraces } from '../train/own-traces.ts';
import { check, measured, type Arm, type Check } from './reproduction.ts';

/** Of the size between all narrow and all wide. */
export const shares = [0.25, 0.5, 0.75] as const;
const widths = [4, 8] as const;
const formatOf = (bits: number) => parseFormat(`int${bits}/channel`);

export interface AllocationStudy {
  /** Width of a site at each share. */
  readonly widthOf: readonly ((site: Linear) => number)[];
  /** Of the choice for half of the size; of the choice with the largest Ω; with all layers narrow or wide. */
  readonly omega: number; readonly kl: number; readonly inverse: number; readonly narrow: number; readonly wide: number;
  readonly random: readonly number[];
  /** Shares of random choices that lose more than the choice, and less than the inverse. */
  readonly beaten: number; readonly aboveInverse: number;
  readonly rank: number;
  /** Of single layers at 4 bits: rank correlation of Ω and KL, KL by Ω/2 at the least and the most; of the choice by their KL, what it loses and the share of random ones that lose more. */
  readonly single: { readonly rank: number; readonly ratios: readonly [number, number]; readonly kl: number; readonly beaten: number };
  /** Largest standard error of a trace, by the trace. */
  readonly noise: number;
}

interface StudyOptions { readonly seed: number; readonly probes: number; readonly random: number; readonly threads: number }

/** Choices of 4 or 8 bits for half of the size, and what the weights alone lose with each. */
export async function allocationStudy(graph: Graph, samples: readonly Feeds[], judged: Dataset, { seed, probes, random: draws, threads }: StudyOptions): Promise<AllocationStudy> {
  const sites = linearSites(graph);
  const traces = await ownTraces(graph, ortNode, samples, sites.map(({ id }) => id), { probes, seed });
  const matrices = await Promise.all(sites.map(async (site) => {
    const matrix = await site.weightMatrix();
    return widths.map((bits) => { const codes = encodeMatrix(formatOf(bits), matrix, site.rows, site.cols); return { decoded: formatOf(bits).decode(codes), error: codes.squaredError }; });
  }));
  const layers = sites.map(({ rows, cols }, i): TracedOptions => ({
    trace: traces[i].trace, count: rows * cols, options: widths.map((bits, k) => ({ error: matrices[i][k].error, uses: [rows * cols * bits] })).slice(i === 0 || i === sites.length - 1 ? 1 : 0),
  }));
  /** Index of the width per site. */
  const whole = (choice: readonly number[]): number[] => choice.map((option, i) => option + widths.length - layers[i].options.length);
  const chosen = await Promise.all(shares.map(async (share) => whole((await chooseByTrace(layers, [share])).choice)));
  const budget = chosen[1].reduce((sum, k, i) => sum + layers[i].count * widths[k], 0);
  const lost = (choice: readonly number[]): number => choice.reduce((sum, k, i) => sum + omega(layers[i], { error: matrices[i][k].error }), 0);
  const worst = await chooseOptions(layers.map((layer) => layer.options.map((option) => ({ loss: -omega(layer, option), uses: option.uses }))), [{ least: 0.98 * budget, most: budget }]);
  const random = Array.from({ length: draws }, (_, draw) => randomChoice(layers, budget, draw));
  const batches = await Promise.all(Array.from({ length: judged.count / 100 }, async (_, i) => (await judged.batch(Array.from({ length: 100 }, (__, j) => i * 100 + j))).feeds));
  const trials = await weightTrials(graph, ortNode, batches, sites, 'kl', threads);
  try {
    const divergence = (choice: readonly number[]): Promise<number> => trials.measure(new Map(sites.map(({ id }, i) => [id, matrices[i][choice[i]].decoded])));
    const kl = await divergence(chosen[1]);
    const inverse = await divergence(whole(worst.choice));
    /** Per site and width, all others float. */
    const alone: number[][] = [];
    for (const [i, { id }] of sites.entries()) {
      alone.push([]);
      for (const { decoded } of matrices[i]) alone[i].push(await trials.measure(new Map([[id, decoded]])));
    }
    const found: number[] = [];
    for (const choice of random) found.push(await divergence(choice));
    const byKl = await chooseOptions(layers.map(({ options }, i) => options.map(({ uses }, k) => ({ loss: alone[i].slice(-options.length)[k], uses }))), [budget]);
    const measuredKl = await divergence(whole(byKl.choice));
    const narrow = layers.map((layer, i) => ({ omega: omega(layer, { error: matrices[i][0].error }), kl: alone[i][0] }));
    const ratios = narrow.map((one) => (2 * one.kl) / one.omega);
    return {
      widthOf: chosen.map((choice) => (site: Linear) => widths[choice[sites.findIndex(({ id }) => id === site.id)]]),
      omega: lost(chosen[1]), kl, inverse, narrow: await divergence(sites.map((_, i) => widths.length - layers[i].options.length)), wide: await divergence(sites.map(() => 1)),
      random: found, beaten: found.filter((one) => one > kl).length / found.length, aboveInverse: found.filter((one) => one > inverse).length / found.length,
      rank: spearman(random.map(lost), found),
      single: {
        rank: spearman(narrow.map((one) => one.omega), narrow.map((one) => one.kl)), ratios: [Math.min(...ratios), Math.max(...ratios)],
        kl: measuredKl, beaten: found.filter((one) => one > measuredKl).length / found.length,
      },
      noise: Math.max(...traces.map(({ trace, error }) => error / trace)),
    };
  } finally {
    await trials.dispose();
  }
}

/** Layers widened in a random order as long as the size allows. */
function randomChoice(layers: readonly TracedOptions[], budget: number, draw: number): number[] {
  const choice = layers.map(({ options }) => widths.length - options.length);
  let size = layers.reduce((sum, { count }, i) => sum + count * widths[choice[i]], 0);
  for (const i of permutation(0x4a51, draw, layers.length)) {
    const more = choice[i] === 0 ? layers[i].count * (widths[1] - widths[0]) : 0;
    if (more === 0 || size + more > budget) continue;
    choice[i] = 1;
    size += more;
  }
  return choice;
}

export const allocationArms = (studies: readonly AllocationStudy[]): Arm[] => ([
  ['all wide', ({ wide }) => wide], ['by the Hessian, half of the size', ({ kl }) => kl], ['random, same size, median', ({ random }) => random.toSorted((a, b) => a - b)[random.length >> 1]],
  ['by the KL of single layers, same size', ({ single }) => single.kl], ['largest Ω, same size', ({ inverse }) => inverse], ['all narrow', ({ narrow }) => narrow],
] as [string, (study: AllocationStudy) => number][]).map(([name, of]) => ({ name: `weights alone, 4 and 8 bits: ${name}`, metrics: { 'KL to float, nats': measured(studies.map(of)) } }));

export function allocationChecks(studies: readonly AllocationStudy[]): Check[] {
  const each = (of: (study: AllocationStudy) => number): string => studies.map((study) => `${(100 * of(study)).toFixed(0)} %`).join(', ');
  return [
    check('choice by the Hessian among random ones of its size', 'better than 90 % of them, every seed', `better than ${each(({ beaten }) => beaten)}`, studies.every(({ beaten }) => beaten >= 0.9), `Ω ranks single layers as KL does (rank correlation ${studies.map(({ single }) => single.rank.toFixed(2)).join(', ')}), off by up to ${Math.max(...studies.map(({ single }) => Math.max(single.ratios[1], 1 / single.ratios[0]))).toFixed(1)} times; the same program on the KL of single layers beats ${each(({ single }) => single.beaten)}: what layers lose does not add up`),
    check('choice with the largest Ω among random ones of its size', 'worse than 80 % of them, every seed', `worse than ${each(({ aboveInverse }) => 1 - aboveInverse)}`, studies.every(({ aboveInverse }) => aboveInverse <= 0.2)),
    check('choice by the Hessian between all wide and all narrow', 'loses more than the one and less than the other', studies.map(({ wide, kl, narrow }) => [wide, kl, narrow].map((value) => value.toPrecision(2)).join(' < ')).join('; '), studies.every(({ wide, kl, narrow }) => wide < kl && kl < narrow)),
  ];
}

export const allocationNote = (studies: readonly AllocationStudy[]): string =>
  `traces of the Hessian of KL to the float network, from the side of the scores: largest standard error of a layer ${studies.map(({ noise }) => `${(100 * noise).toFixed(0)} %`).join(', ')}; Ω against KL, rank correlation: over single layers at 4 bits ${studies.map(({ single }) => single.rank.toFixed(2)).join(', ')}, over random choices ${studies.map(({ rank }) => rank.toFixed(2)).join(', ')}`;
