/**
 * Products with inputs of 4 and 8 bits beside those of 8 bits alone and of float32, 4096 × 4096, one thread:
 * `npm run bench mixed`. Processor times are medians (least–most) of runs that alternate, ratios of runs next to each other. The
 * roofline: float32 weights are bound by memory, so its rate with one token is what memory gives; rates over 256 rows,
 * again and again, are what the instructions give once weights lie in the second-level cache.
 */
import { median } from '../src/numeric/statistics.ts';
import { ratios } from '../src/reproductions/in-turns.ts';
import { alternate, openContenders } from '../src/reproductions/mixed-speed.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 11);
const [size, most] = [4096, 16];
const contenders = await openContenders(size, most);
console.log(`${size} × ${size}, ${runs} interleaved runs, plain SIMD, one thread`);
for (const [tokens, rows] of [[1, size], [most, size], [most, 256]] as const) {
  const times = alternate(contenders, tokens, rows, runs, () => process.cpuUsage().user / 1000);
  console.log(`\n${tokens} token${tokens === 1 ? '' : 's'}, ${rows} rows`);
  contenders.forEach(({ name, bytes }, i) => {
    const time = median(times[i]);
    const against = (other: number): string => median(ratios(times[i], times[other])).toFixed(2);
    console.log(`${name.padEnd(37)} ${time.toFixed(2)} ms (${Math.min(...times[i]).toFixed(2)}–${Math.max(...times[i]).toFixed(2)}), ${against(0)} times float32, ${against(1)} times W4A8; ${((bytes * rows) / size / time / 1e6).toFixed(1)} GB/s of weights, ${((rows * size * tokens) / time / 1e6).toFixed(1)} G products/s`);
  });
}
