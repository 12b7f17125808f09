/** Parts of a result that every judged run has: the verdict of a file, and where the run took place. */
import { cpus } from 'node:os';
import type { Verdict } from '../evaluate/verdict.ts';
import type { Judged } from './judge-node.ts';
import type { QuantizeResult } from './result.ts';
import { version } from './version-node.ts';

/** What is known of a file and what judging found; `judged` is absent where the verdict was skipped. */
export const verdictOf = (file: Omit<Verdict, 'latency' | 'loads' | 'score' | 'notJudged'>, judged: Judged | undefined): Verdict => ({
  ...file, latency: judged?.latency ?? [], loads: judged?.loads ?? [],
  ...(judged?.score === undefined ? { notJudged: judged?.notJudged ?? 'the verdict was skipped' } : { score: judged.score }),
});

/** The tool, the machine and the engines that loaded the files. */
export const circumstances = (verdicts: readonly Verdict[], threads: number): Pick<QuantizeResult, 'tool' | 'environment'> => ({
  tool: { name: 'fewbit', version },
  environment: {
    node: process.version, platform: `${process.platform} ${process.arch}`, cpu: cpus()[0]?.model ?? 'unknown', threads,
    engines: [...new Set(verdicts.flatMap(({ loads }) => loads))],
  },
});
