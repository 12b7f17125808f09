/**
 * Hadamard transforms: the kernel against the plain one, which must give the same bits, and both sides of a matrix turned
 * as `tcq3.25+had` has it: `npm run bench hadamard`. Processor milliseconds of 4096 × 4096, medians (least–most).
 */
import { hadamardFast } from '../src/engine/kernels/hadamard.ts';
import { rotated, type Transform } from '../src/formats/rotated.ts';
import { hadamardTransform } from '../src/numeric/hadamard.ts';
import { normal } from '../src/numeric/random.ts';

const runs = Number(process.env.FEWBIT_BENCH_RUNS ?? 5);
const size = 4096;
const values = Float32Array.from({ length: size * size }, (_, i) => normal(1, 0, i));
const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const spread = (list: readonly number[], digits = 0): string => `${sorted(list)[list.length >> 1].toFixed(digits)} (${sorted(list)[0].toFixed(digits)}–${sorted(list).at(-1)!.toFixed(digits)})`;
const same = (a: Float32Array, b: Float32Array): boolean => Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer)) === 0;

function timed(work: () => Float32Array): [number, Float32Array] {
  const before = process.cpuUsage();
  const made = work();
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / 1000, made];
}

const cases: readonly (readonly [string, (transform: Transform) => Float32Array])[] = [
  ...[64, 4096].map((order) => [`runs of ${order}`, (transform: Transform) => transform(values, order)] as const),
  ['both sides turned', (transform) => rotated(values, size, size, transform)],
];
for (const [name, work] of cases) {
  const [fast, plain]: number[][] = [[], []];
  for (let run = 0; run < runs; run++) {
    const [a, mine] = timed(() => work(hadamardFast));
    const [b, twin] = timed(() => work(hadamardTransform));
    if (!same(mine, twin)) throw new Error(`${name}: the kernel gives other bits`);
    fast.push(a);
    plain.push(b);
  }
  console.log(`${name.padEnd(18)} ${spread(fast)} ms, plain ${spread(plain)} ms: ${spread(fast.map((time, i) => plain[i] / time), 1)} times as fast, same bits`);
}
