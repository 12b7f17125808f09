/**
 * Million weights per second and processor of integer formats, the kernel against the plain code, which must give the same codes:
 * node --import tsx bench/integers.ts [runs]
 */
import { isDeepStrictEqual } from 'node:util';
import { encodeFast } from '../src/engine/kernels/scales.ts';
import { parseFormat } from '../src/formats/registry.ts';
import { normal } from '../src/numeric/random.ts';

const runs = Number(process.argv[2] ?? 3);
const [rows, cols] = [512, 2048];
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i) * (i % 2003 === 0 ? 20 : 1));
const importance = Float32Array.from({ length: cols }, (_, i) => normal(2, 0, i) ** 2);

/** Processor seconds of one call, and what it gives. */
function timed<T>(work: () => T): [seconds: number, result: T] {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1e6, result];
}
const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
const spread = (numbers: number[]): string => `${median(numbers).toFixed(1)} (${Math.min(...numbers).toFixed(1)}–${Math.max(...numbers).toFixed(1)})`;

for (const spelling of ['int4/g128', 'int4/g32', 'int3/g64', 'uint4/g32', 'uint2/g32', 'int4/channel', 'int8/channel', 'int4/g32@f16']) {
  const format = parseFormat(spelling);
  for (const options of [{ search: 'mse' }, { search: 'mse', importance }, { search: 'amax' }] as const) {
    const fast: number[] = [], plain: number[] = [], ratio: number[] = [];
    encodeFast(format, values, rows, cols, options);
    for (let run = 0; run < runs; run++) {
      const [a, mine] = timed(() => encodeFast(format, values, rows, cols, options));
      const [b, twin] = timed(() => format.encode(values, rows, cols, options));
      if (!isDeepStrictEqual(mine, twin)) throw new Error(`${spelling}: the kernel gives other codes`);
      fast.push(values.length / 1e6 / a);
      plain.push(values.length / 1e6 / b);
      ratio.push(b / a);
    }
    const name = options.search === 'amax' ? 'nearest' : 'importance' in options ? 'weighted' : 'searched';
    console.log(`${spelling.padEnd(13)} ${name} ${spread(fast)} M weights/s, plain ${spread(plain)}: ${spread(ratio)} times as fast, same codes`);
  }
}
