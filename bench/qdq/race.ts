/** One network in several engines in turn, and the lines that tell how they did; runs in Node and in a page. */
import type { Team } from '../../src/engine/kernels/lowbit-team.ts';
import type { QdqBuild } from '../../src/engine/kernels/qdq.ts';
import { readQdqNetwork } from '../../src/engine/qdq/read.ts';
import { QdqRunner } from '../../src/engine/qdq/run.ts';
import type { Engine, Feeds } from '../../src/engine/session.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { upgradeOpset } from '../../src/graph/upgrade.ts';
import { median, minMax } from '../../src/numeric/statistics.ts';

export interface Contender { readonly name: string; run(feeds: Feeds): Promise<unknown> }

export async function ours(bytes: Uint8Array, build?: QdqBuild, team?: Team): Promise<Contender> {
  const runner = await QdqRunner.open(await readQdqNetwork(await upgradeOpset(await openOnnx(memorySource('model.onnx', bytes)))), { build, team });
  return { name: `fewbit, ${runner.build}${team === undefined ? '' : `, ${team.members} threads`}`, run: (feeds) => runner.run(feeds) };
}

export async function engineOn(name: string, engine: Engine, bytes: Uint8Array): Promise<Contender> {
  const session = await engine.open({ bytes }, { threads: 1 });
  return { name, run: (feeds) => session.run(feeds) };
}

/** A run is as many inferences as take this long, in ms, and its time their mean. */
const runLength = 10;

/** Medians (least–most) in ms of runs that alternate; ratios to the first are medians over runs next to each other. */
export async function race(contenders: readonly Contender[], feeds: Feeds, runs: number): Promise<string[]> {
  const times = contenders.map((): number[] => []);
  for (let run = -3; run < runs; run++) {
    for (const [i, { run: infer }] of contenders.entries()) {
      let [all, count] = [0, 0];
      for (; all < runLength; count++) {
        const started = performance.now();
        await infer(feeds);
        all += performance.now() - started;
      }
      if (run >= 0) times[i].push(all / count);
    }
  }
  return contenders.map(({ name }, i) => {
    const { min, max } = minMax(times[i]);
    const ratios = times[i].map((time, run) => time / times[0][run]);
    return `  ${name.padEnd(36)} ${median(times[i]).toFixed(3)} ms (${min.toFixed(3)}–${max.toFixed(3)})${i === 0 ? '' : `, ${median(ratios).toFixed(2)} times as long (${minMax(ratios).min.toFixed(2)}–${minMax(ratios).max.toFixed(2)})`}`;
  });
}
