/** A process that multiplies on one thread for two seconds and prints the median time in ms: two at once tell what two threads can gain at most. */
import { lowBitKernels, reservedBytes } from '../../src/engine/kernels/lowbit.ts';
import { median } from '../../src/numeric/statistics.ts';
import { K, N } from './size.ts';

const memory = new WebAssembly.Memory({ initial: 256 });
const kernels = lowBitKernels(memory);
const scales = reservedBytes + (N * K) / 2;
const inputs = { at: scales + (N * K) / 8, bits: 8 } as const;
const out = inputs.at + 65_536;
const place = { weights: reservedBytes, groups: K / 32, tokens: 1, out, stride: N, first: 0, last: N / 8 };
const times: number[] = [];
for (const started = performance.now(); performance.now() - started < 2000;) {
  const from = performance.now();
  kernels.product4(place, scales, 0, inputs);
  times.push(performance.now() - from);
}
console.log(median(times));
