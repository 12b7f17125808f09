/** Builds of kernels beside each other in a page: `lines` is called from outside. */
import type { Build } from '../../src/engine/kernels/builds.ts';
import { fastestMixed } from '../../src/engine/kernels/mixed.ts';
import { median } from '../../src/numeric/statistics.ts';
import { inTurns, ratios } from '../../src/reproductions/in-turns.ts';
import { openContenders, speedNames as mixedNames } from '../../src/reproductions/mixed-speed.ts';
import { attentionWay } from './attention-way.ts';

const builds: readonly Build[] = ['plain SIMD', 'relaxed SIMD'];
const spread = (list: readonly number[]): string => `${median(list).toFixed(2)} (${Math.min(...list).toFixed(2)}–${Math.max(...list).toFixed(2)})`;

/** How many times as fast the relaxed build is, round by round. */
async function mixed(size: number, tokens: number, runs: number): Promise<string[]> {
  const made = await Promise.all(builds.map((build) => openContenders(size, tokens, build)));
  return [mixedNames.wide, mixedNames.narrow, mixedNames.mixed].map((name) => {
    const ways = made.map((contenders) => contenders.find((one) => one.name === name)!).map((one) => () => one.run(tokens, size));
    for (const way of ways) way();
    const [plain, relaxed] = inTurns(ways, runs);
    return `${name}, ${size} × ${size}, ${tokens} token${tokens === 1 ? '' : 's'}: plain ${spread(plain)} ms, relaxed ${spread(relaxed)} ms, ${spread(ratios(relaxed, plain))} times as fast`;
  });
}

/** One head in codes, keys and values packed in each run. */
function attention(bits: 4 | 8, count: number, width: number, runs: number): string {
  const ways = builds.map((build) => {
    const run = attentionWay(count, width, { bits }, build);
    run();
    return run;
  });
  const [plain, relaxed] = inTurns(ways, runs);
  return `attention in codes of ${bits} bits, ${count} queries and keys of ${width} channels: plain ${spread(plain)} ms, relaxed ${spread(relaxed)} ms, ${spread(ratios(relaxed, plain))} times as fast`;
}

export async function lines(runs: number): Promise<string[]> {
  const head = `${navigator.userAgent.match(/Chrome\/[\d.]+/)?.[0] ?? 'browser'}, which takes ${fastestMixed()}; medians (least–most) of ${runs} runs in turns, one thread`;
  return [head, ...await mixed(4096, 1, runs), ...await mixed(4096, 16, runs), ...[64, 128].flatMap((width) => ([8, 4] as const).map((bits) => attention(bits, 1024, width, runs)))];
}
