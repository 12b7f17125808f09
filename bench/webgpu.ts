/**
 * The WebGPU kernels beside ONNX Runtime's WebGPU provider on the same device and weights: `npm run bench webgpu`. Needs the
 * npm package `webgpu` (WebGPU for Node), or FEWBIT_DAWN with the path of its binary, and a Vulkan driver.
 * A time is what one more product costs in a chain of them over different weights: wall time of a long chain less that of a
 * short one, medians (least–most) of interleaved runs. FEWBIT_BENCH_SCALE divides all sizes, FEWBIT_BENCH_PARTS names parts.
 */
import { rm, writeFile } from 'node:fs/promises';
import { checkKernels } from '../test-browser/shared/webgpu-suite.ts';
import { attention } from './webgpu/attention.ts';
import { decode } from './webgpu/decode.ts';
import { products } from './webgpu/products.ts';
import { forms } from './webgpu/forms.ts';
import { dawn, folder, gpu, peer, raw } from './webgpu/race.ts';

const parts = (process.env.FEWBIT_BENCH_PARTS ?? 'check,products,forms,attention,decode').split(',');
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

const begun = performance.now();
const all = {
  check: async () => {
    const cases = await checkKernels(gpu);
    const bad = cases.filter(({ error, bound }) => !(error <= bound));
    console.log(`${cases.length} kernels against their plain twins: ${bad.length} beyond their bounds${bad.map(({ name, error, bound }) => `\n  ${name}: ${error} > ${bound}`).join('')}`);
    raw.check = cases;
  },
  products, forms, attention, decode,
};
for (const part of parts as (keyof typeof all)[]) {
  const started = performance.now();
  try {
    await all[part]();
  } catch (problem) {
    console.error(`${part}:`, problem);
  }
  console.log(`# ${part} took ${seconds(started)}, ${seconds(begun)} in all`);
  if (process.env.FEWBIT_BENCH_RAW !== undefined) await writeFile(process.env.FEWBIT_BENCH_RAW, JSON.stringify(raw, (_, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value)));
}
peer.kill();
void dawn;
await rm(folder, { recursive: true, force: true });
process.exit(0);
