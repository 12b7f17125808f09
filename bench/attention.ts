/**
 * Attention of one head in low-bit codes beside our float32 kernel, and that beside attention token by token as decoders
 * compute it: `npm run bench attention`. Times are medians (least–most) of interleaved runs; ratios are of runs next to each other.
 */
import { fastestBuild } from '../src/engine/kernels/lowbit.ts';
import { attentionTimes, speedNames, timesAsFast } from '../src/reproductions/attention-speed.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
const width = 64;

console.log(`attention of one head of ${width} channels, ${runs} interleaved runs, one thread, packing of keys and values included; ${fastestBuild()} for attention by token`);
for (const count of [1024, 2048, 4096]) {
  for (const isCausal of [false, true]) {
    const all = attentionTimes(count, width, isCausal, runs);
    console.log(`\n${count} queries and keys${isCausal ? ', causal' : ''}`);
    for (const [name, { times, cosine }] of all) {
      const sorted = [...times].sort((a, b) => a - b);
      console.log(`${name.padEnd(34)} ${sorted[runs >> 1].toFixed(1)} ms (${sorted[0].toFixed(1)}–${sorted.at(-1)!.toFixed(1)}), ${timesAsFast(all, name, speedNames.float).toFixed(2)} times as fast as float32; cosine to it ${cosine.toFixed(6)}`);
    }
  }
}
