/** Codes of three bits on a language model, as written files that run: what rotation, trellises and error feedback add. */
import { exportWeightOnly } from '../export/onnx-weight-only.ts';
import type { Quantized } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { randomInteger } from '../numeric/random.ts';
import { momentKey, type Moments } from '../observe/moments.ts';
import { encodeMatrix } from '../round/encode-matrix.ts';
import { ldlq } from '../round/ldlq.ts';
import { quantizedWhole, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import { foldFactors } from '../transform/smoothquant.ts';
import { distances, logitsOf, type JudgedWindow } from './data/llama.ts';
import { check, measured, type Arm, type Check } from './reproduction.ts';

/** A network that arms are made of. */
export interface Judge {
  readonly graph: Graph;
  readonly sites: readonly Linear[];
  readonly judged: readonly JudgedWindow[];
  readonly float: readonly Float32Array[];
  readonly threads: number;
  /** Codes of a site in a format, made once. */
  codes(site: Linear, format: string): Promise<Quantized>;
}

export async function judgeOf(graph: Graph, judged: readonly JudgedWindow[], threads: number): Promise<Judge> {
  const made = new Map<string, Quantized>();
  return {
    graph, judged, threads, sites: linearSites(graph).filter(({ id }) => id.includes('.layers.')), float: await logitsOf(graph, judged, threads),
    async codes(site, format) {
      const key = `${site.id} ${format}`;
      const found = made.get(key) ?? encodeMatrix(parseFormat(format), await site.weightMatrix(), site.rows, site.cols);
      made.set(key, found);
      return found;
    },
  };
}

export interface LanguageArm { readonly name: string; readonly bits: number; readonly kl: readonly number[]; readonly nll: readonly number[] }

/** The written file of a choice of formats, run. */
async function armOf(judge: Judge, name: string, formatOf: (site: Linear, index: number) => string, moments?: ReadonlyMap<string, Moments>): Promise<LanguageArm> {
  const weights = new Map<string, QuantizedMatrix>();
  let [bits, count] = [0, 0];
  for (const [i, site] of judge.sites.entries()) {
    const format = parseFormat(formatOf(site, i));
    const codes = moments === undefined
      ? await judge.codes(site, format.name)
      : ldlq({ values: await site.weightMatrix(), rows: site.rows, cols: site.cols, name: site.id }, format, moments.get(momentKey(site)));
    weights.set(site.id, quantizedWhole(format, codes));
    bits += format.bitsPerWeight(site.rows, site.cols) * site.rows * site.cols;
    count += site.rows * site.cols;
  }
  const { graph } = await exportWeightOnly(judge.graph, weights, { accuracyLevel: 0 });
  return { name, bits: bits / count, ...distances(judge.float, await logitsOf(graph, judge.judged, judge.threads), judge.judged) };
}

/** Adds arms to a list as they are judged. */
export const adder = (judge: Judge, arms: LanguageArm[], say: (line: string) => void) => async (name: string, formatOf: Parameters<typeof armOf>[2], moments?: ReadonlyMap<string, Moments>): Promise<void> => {
  const arm = await armOf(judge, name, formatOf, moments);
  arms.push(arm);
  say(`${name}: ${arm.bits.toFixed(3)} bits, KL ${measured(arm.kl).mean.toFixed(5)}`);
};

export async function threeBitArms(judge: Judge, moments: ReadonlyMap<string, Moments>, say: (line: string) => void): Promise<LanguageArm[]> {
  const arms: LanguageArm[] = [];
  const add = adder(judge, arms, say);
  await add('3 bits to nearest, no rotation', () => 'int3/channel');
  await add('3 bits scalar, rotated', () => 'lloydmax3/channel+had');
  await add('3 bits vector, rotated', () => 'vq3+had');
  await add('3 bits trellis, no rotation', () => 'tcq3');
  await add('3 bits trellis, rotated', () => 'tcq3+had');
  await add('3 bits trellis, rotated, error feedback', () => 'tcq3+had', moments);
  return arms;
}

/** The same float function with a few columns of each input's readers eight times as large, undone in the norm before. */
export async function plantedTwin(graph: Graph, judged: readonly JudgedWindow[], seed: number, threads: number, say: (line: string) => void): Promise<LanguageArm[]> {
  const factors = new Map<string, Float32Array>();
  for (const site of linearSites(graph)) {
    if (!site.id.includes('.layers.') || factors.has(site.input)) continue;
    const planted = new Float32Array(site.cols).fill(1);
    for (let k = 0; k < 4; k++) planted[randomInteger(seed, 3 + factors.size, k, site.cols)] = 8;
    factors.set(site.input, planted);
  }
  const { graph: twin, factors: done } = await foldFactors(graph, factors);
  say(`planted outlier twin: columns of ${done.size} inputs`);
  const judge = await judgeOf(twin, judged, threads);
  return [
    await armOf(judge, 'planted outliers: 3 bits trellis, no rotation', () => 'tcq3'),
    await armOf(judge, 'planted outliers: 3 bits trellis, rotated', () => 'tcq3+had'),
  ];
}

/** Why rotation gains little where whole columns stand out. */
const spread = 'columns eight times as large raise the scale of every row that holds them, rotated or not, and so double the error; rotation spreads them but takes none of their energy away, and trellises without it clip little at this size';

/** Paired over windows: mean difference and its standard error. */
const ordered = (arms: readonly LanguageArm[]) => (better: string, worse: string, finding?: string): Check => {
  const [first, second] = [better, worse].map((name) => arms.find((arm) => arm.name === name)!);
  const differences = measured(second.kl.map((kl, w) => kl - first.kl[w]));
  const error = differences.spread / Math.sqrt(differences.runs);
  return check(`${better}, then ${worse}`, 'a lower KL, the paired difference above two standard errors', `${measured(first.kl).mean.toFixed(5)} against ${measured(second.kl).mean.toFixed(5)}, difference ${differences.mean.toFixed(5)} ± ${error.toFixed(5)}`, differences.mean > 2 * error, finding);
};

export function threeBitChecks(arms: readonly LanguageArm[]): Check[] {
  const order = ordered(arms);
  return [
    order('3 bits scalar, rotated', '3 bits to nearest, no rotation'),
    order('3 bits vector, rotated', '3 bits scalar, rotated'),
    order('3 bits trellis, rotated', '3 bits vector, rotated'),
    order('3 bits trellis, rotated, error feedback', '3 bits trellis, rotated'),
  ];
}

export const twinChecks = (twin: readonly LanguageArm[]): Check[] => [ordered(twin)('planted outliers: 3 bits trellis, rotated', 'planted outliers: 3 bits trellis, no rotation', spread)];

export const widthArm = ({ name, bits, kl, nll }: LanguageArm): Arm => ({ name, metrics: { 'bits per weight': measured([bits]), KL: measured(kl), 'nats per token': measured(nll) } });
export const twinArm = ({ name, kl }: LanguageArm): Arm => ({ name, metrics: { KL: measured(kl) } });
