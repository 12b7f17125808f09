/**
 * Time per run, as a ratio to a reference measured in the same minutes: runs of all candidates alternate, so that a
 * busy neighbour or a warm machine touches all of them alike.
 */
import { percentile } from './summary.ts';

export interface Timed { readonly name: string; run(): Promise<unknown> }

export interface Latency {
  readonly name: string;
  /** Milliseconds. */
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  /** Median of this candidate's time over the first candidate's, round by round; below 1 is faster. */
  readonly ratio: number;
  readonly ratioP10: number;
  readonly ratioP90: number;
  readonly rounds: number;
}

export interface LatencyOptions {
  readonly warmup?: number;
  readonly rounds?: number;
  /** Stops after this many milliseconds once five rounds are done. */
  readonly budget?: number;
  /** Milliseconds from any fixed moment; `performance.now` unless told. */
  readonly now?: () => number;
}

/** Times all candidates in turn; the first is the reference of the ratios. */
export async function measureLatency(candidates: readonly Timed[], { warmup = 3, rounds = 30, budget = 5000, now = () => performance.now() }: LatencyOptions = {}): Promise<Latency[]> {
  for (let i = 0; i < warmup; i++) for (const candidate of candidates) await candidate.run();
  const times: number[][] = candidates.map(() => []);
  const start = now();
  for (let round = 0; round < rounds && (round < 5 || now() - start < budget); round++) {
    // Every second round runs backwards: nobody always follows the same neighbour.
    const order = candidates.map((_, i) => (round % 2 === 0 ? i : candidates.length - 1 - i));
    for (const i of order) {
      const begin = now();
      await candidates[i].run();
      times[i].push(now() - begin);
    }
  }
  return candidates.map(({ name }, i) => {
    const sorted = [...times[i]].sort((a, b) => a - b);
    const ratios = times[i].map((time, round) => time / times[0][round]).sort((a, b) => a - b);
    return {
      name, median: percentile(sorted, 0.5), p10: percentile(sorted, 0.1), p90: percentile(sorted, 0.9),
      ratio: percentile(ratios, 0.5), ratioP10: percentile(ratios, 0.1), ratioP90: percentile(ratios, 0.9), rounds: times[i].length,
    };
  });
}
