/** Seconds of GPTQ for one 4096×4096 layer at int4/g128 from a given second moment: node --import tsx bench/gptq.ts [size] */
import { parseFormat } from '../src/formats/registry.ts';
import { factorHessian, gptq } from '../src/round/gptq.ts';
import { uniform } from '../src/numeric/random.ts';

const size = Number(process.argv[2] ?? 4096);
const values = Float32Array.from({ length: size * size }, (_, i) => uniform(1, 0, i) - 0.5);
const hessian = new Float32Array(size * size);
// Neighbouring columns correlate, and channel sizes spread over a decade.
for (let i = 0; i < size; i++) {
  for (let j = 0; j < size; j++) hessian[i * size + j] = (1 + (i % 10)) * (1 + (j % 10)) / (1 + Math.abs(i - j)) ** 2;
}
const format = parseFormat('int4/g128');
const seconds = (from: number): string => ((performance.now() - from) / 1000).toFixed(2);
for (const order of ['activation', 'natural'] as const) {
  const start = performance.now();
  const factor = factorHessian(hessian, size, { order });
  const factored = seconds(start);
  const sweep = performance.now();
  gptq({ values, rows: size, cols: size }, format, undefined, { factor });
  console.log(`gptq ${size}×${size} int4/g128 ${order} order, one thread: factor ${factored} s, sweep ${seconds(sweep)} s, total ${seconds(start)} s`);
}
