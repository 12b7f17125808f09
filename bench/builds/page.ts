/** Builds of kernels beside each other in a page, and two threads beside one: `lines` is called from outside. */
import { attentionKernels } from '../../src/engine/kernels/attention.ts';
import type { Build } from '../../src/engine/kernels/builds.ts';
import { workerTeam } from '../../src/engine/kernels/lowbit-team-web.ts';
import { fastestMixed } from '../../src/engine/kernels/mixed.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { inTurns, ratios } from '../../src/reproductions/in-turns.ts';
import { openContenders, speedNames } from '../../src/reproductions/mixed-speed.ts';
import { moduleWorker } from '../../test-browser/shared/page-worker.ts';
import { attentionWay } from './attention-way.ts';
import { spread } from './spread.ts';
import { threadLines } from './threads.ts';

const builds: readonly Build[] = ['plain SIMD', 'relaxed SIMD'];

/** How many times as fast the relaxed build is, round by round. */
function compared(name: string, ways: readonly (() => void)[], runs: number): string {
  for (const way of ways) way();
  const [plain, relaxed] = inTurns(ways, runs);
  return `${name}: plain ${spread(plain)} ms, relaxed ${spread(relaxed)} ms, ${spread(ratios(relaxed, plain))} times as fast`;
}

async function mixed(size: number, tokens: number, runs: number): Promise<string[]> {
  const made = await Promise.all(builds.map((build) => openContenders(size, tokens, build)));
  return [speedNames.wide, speedNames.narrow, speedNames.mixed, speedNames.ternary].map((name) =>
    compared(`${name}, ${size} × ${size}, ${tokens} tokens`, made.map((contenders) => contenders.find((one) => one.name === name)!).map((one) => () => one.run(tokens, size)), runs));
}

function attention(bits: 4 | 8, count: number, width: number, runs: number): string {
  const ways = builds.map((build) => {
    const arena = new Arena();
    const run = attentionWay(arena, { count, width, how: { bits } });
    const kernels = attentionKernels(arena.memory, build);
    return () => run(kernels);
  });
  return compared(`attention in codes of ${bits} bits, ${count} queries and keys of ${width} channels`, ways, runs);
}

export async function lines(runs: number): Promise<string[]> {
  return [
    `${navigator.userAgent.match(/Chrome\/[\d.]+/)?.[0] ?? 'browser'}, which takes ${fastestMixed()}, one thread`,
    ...await mixed(4096, 1, runs), ...await mixed(4096, 16, runs), ...[64, 128].flatMap((width) => ([8, 4] as const).map((bits) => attention(bits, 1024, width, runs))),
    'the same, two threads', ...await threadLines(workerTeam(2, await moduleWorker('/made/worker.js')).start, runs),
  ];
}
