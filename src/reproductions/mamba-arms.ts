/** Arms of state-space reproductions: steps carried out on a host for each seed, and what the written graphs lose. */
import type { Feeds } from '../engine/session.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { pairedDifference } from '../evaluate/metrics/summary.ts';
import type { Step } from '../recipes/recipe.ts';
import { mambaBlocks } from '../transform/mamba-blocks.ts';
import { distances, logitsOf, type JudgedWindow } from './data/llama.ts';
import type { MambaHost } from './data/mamba.ts';
import { measured, type Arm, type Check } from './reproduction.ts';
import { written, relativeError, valuesOf } from './written.ts';

export interface MambaArm {
  readonly name: string;
  /** Of the projections; convolutions, tables and the tied head stay float. */
  readonly weights: string;
  readonly steps: readonly Step[];
}

/** What an arm lost, by seed and window. */
export interface Lost {
  readonly kl: number[][];
  readonly nll: number[][];
  /** Error of what blocks add to the stream against the float network's, relative, mean over blocks; by seed. */
  readonly blocks: number[];
}

export interface MambaRun {
  readonly host: MambaHost;
  readonly calibration: (seed: number) => Feeds;
  readonly judged: readonly JudgedWindow[];
  readonly threads: number;
  say(line: string): void;
}

const isProjection = ({ kind, id }: Linear): boolean => kind === 'MatMul' && /\.(in|out|x|dt)_proj\.weight$/.test(id);

/** Values that blocks add to the stream, as long as the stream itself is not turned. */
const blockOutputs = (graph: Graph): string[] => mambaBlocks(graph).map(({ outProj }) => outProj.output);

/** Every arm on one host, for every seed. */
export async function runArms({ host, calibration, judged, threads, say }: MambaRun, arms: readonly MambaArm[], seeds: readonly number[]): Promise<Map<string, Lost>> {
  const float = await logitsOf(host.graph, judged, threads);
  const outputs = blockOutputs(host.graph);
  const floatBlocks = await valuesOf(host.graph, outputs, judged[0].feeds, { threads });
  const lost = new Map<string, Lost>(arms.map(({ name }) => [name, { kl: [], nll: [], blocks: [] }]));
  for (const seed of seeds) {
    for (const { name, weights, steps } of arms) {
      const started = performance.now();
      const format = parseFormat(weights);
      const { graph } = await written(host.graph, steps, { formatOf: (site) => (isProjection(site) ? format : undefined), points: calibration(seed), seed, threads });
      const { kl, nll } = distances(float, await logitsOf(graph, judged, threads), judged);
      const own = lost.get(name)!;
      own.kl.push(kl);
      own.nll.push(nll);
      if (!steps.some(({ step }) => step.startsWith('rotate'))) {
        const values = await valuesOf(graph, outputs, judged[0].feeds, { threads });
        own.blocks.push(measured(outputs.map((value) => relativeError(floatBlocks.get(value)!, values.get(value)!))).mean);
      }
      say(`${host.name}, seed ${seed}, ${name}: KL ${measured(kl).mean.toPrecision(3)}, ${((performance.now() - started) / 1000).toFixed(1)} s`);
    }
  }
  return lost;
}

export const armsOf = (host: string, lost: ReadonlyMap<string, Lost>): Arm[] => [...lost].map(([name, { kl, nll, blocks }]) => ({
  name: `${host}: ${name}`,
  metrics: {
    KL: measured(kl.map((windows) => measured(windows).mean)), 'nats per token': measured(nll.map((windows) => measured(windows).mean)),
    ...(blocks.length === 0 ? {} : { 'error of blocks': measured(blocks) }),
  },
}));

/** Whether one arm's KL lies below another's, window by window, means over the seeds. */
export function lowerKl(name: string, lost: ReadonlyMap<string, Lost>, better: string, worse: string, finding?: string): Check {
  const { mean, standardError } = pairedDifference(windowMeans(lost.get(worse)!), windowMeans(lost.get(better)!));
  const holds = mean < 0;
  return {
    name, expected: `KL of ${better} below that of ${worse}`, holds,
    measured: `${mean.toExponential(2)} ± ${standardError.toExponential(1)} (standard error over windows)`, ...(holds || finding === undefined ? {} : { finding }),
  };
}

const windowMeans = ({ kl }: Lost): number[] => kl[0].map((_, window) => measured(kl.map((windows) => windows[window])).mean);

/** Whether blocks err less with one arm than with another, mean over blocks and seeds. */
export function lowerBlocks(name: string, lost: ReadonlyMap<string, Lost>, better: string, worse: string, finding?: string): Check {
  const [a, b] = [better, worse].map((arm) => measured(lost.get(arm)!.blocks).mean);
  return { name, expected: `error of blocks with ${better} below that with ${worse}`, measured: `${a.toExponential(3)} against ${b.toExponential(3)}`, holds: a < b, ...(a < b || finding === undefined ? {} : { finding }) };
}
