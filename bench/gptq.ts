/**
 * Seconds of GPTQ for one layer at int4/g128 from a given second moment: node --import tsx bench/gptq.ts [size] [runs]
 * FEWBIT_PYTHON names an interpreter with PyTorch; then its GPTQ (gptq-torch.py) runs on the same matrices in turn, on two
 * threads and on one. Processor seconds are hardly changed by other work on the machine, except that idle OpenMP threads spin.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseFormat } from '../src/formats/registry.ts';
import { factorHessian, gptq } from '../src/round/gptq.ts';
import { uniform } from '../src/numeric/random.ts';

const [size = 4096, runs = 1] = process.argv.slice(2).map(Number);
const python = process.env.FEWBIT_PYTHON;
const format = parseFormat('int4/g128');
const values = Float32Array.from({ length: size * size }, (_, i) => uniform(1, 0, i) - 0.5);
const hessian = new Float32Array(size * size);
// Neighbouring columns correlate, and channel sizes spread over a decade.
for (let i = 0; i < size; i++) {
  for (let j = 0; j < size; j++) hessian[i * size + j] = (1 + (i % 10)) * (1 + (j % 10)) / (1 + Math.abs(i - j)) ** 2;
}
type Order = 'activation' | 'natural';

/** By the clock, and of the processors by all threads together. */
interface Spent { readonly factor: number; readonly seconds: number; readonly cpu: number }
interface TorchSpent extends Spent { readonly version: string; readonly ourError: number; readonly error: number }

function ours(order: Order): Spent & { readonly decoded: Float32Array } {
  const before = process.cpuUsage();
  const start = performance.now();
  const factor = factorHessian(hessian, size, { order });
  const factored = (performance.now() - start) / 1000;
  const rounded = gptq({ values, rows: size, cols: size }, format, undefined, { factor });
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { factor: factored, seconds, cpu: (user + system) / 1e6, decoded: format.decode(rounded) };
}

function theirs(folder: string, order: Order, threads: number): TorchSpent {
  const script = fileURLToPath(new URL('gptq-torch.py', import.meta.url));
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const { status, stdout, stderr } = spawnSync(python!, [script, folder, String(size), String(threads), order, '128', '7'], { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`PyTorch failed: ${stderr.slice(-2000)}`);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as TorchSpent;
}

const show = (name: string, { factor, seconds, cpu }: Spent): string =>
  `${name.padEnd(22)} factor ${factor.toFixed(2)} s, sweep ${(seconds - factor).toFixed(2)} s, total ${seconds.toFixed(2)} s, processor seconds ${cpu.toFixed(2)}`;
const times = (a: number, b: number): string => `${(a / b).toFixed(2)}×`;

const folder = mkdtempSync(join(tmpdir(), 'fewbit-gptq-'));
try {
  if (python !== undefined) {
    writeFileSync(join(folder, 'weight.bin'), values);
    writeFileSync(join(folder, 'hessian.bin'), hessian);
  }
  for (const order of ['activation', 'natural'] as const) {
    for (let run = 0; run < runs; run++) {
      console.log(`${size}×${size} int4/g128, ${order} order`);
      const mine = ours(order);
      console.log(`  ${show('fewbit, one thread', mine)}`);
      if (python === undefined) continue;
      writeFileSync(join(folder, 'fewbit.bin'), mine.decoded);
      for (const threads of [2, 1]) {
        const torch = theirs(folder, order, threads);
        console.log(`  ${show(`PyTorch ${torch.version.replace(/\+.*/, '')}, ${threads === 1 ? 'one thread' : `${threads} threads`}`, torch)}`);
        console.log(
          `    fewbit takes ${times(mine.seconds, torch.seconds)} its time by the clock, ${times(mine.cpu, torch.cpu)} its processor time; ` +
          `output error ${times(torch.ourError, torch.error)} its`,
        );
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
