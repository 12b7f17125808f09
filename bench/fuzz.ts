/**
 * Structure-aware fuzzing of every reader: `npm run bench fuzz [reader…] [seconds] [seed=N]`, 5 seconds per reader unless told otherwise.
 * A finding is any exception that is not one of our errors, more than 2 seconds, or more than 300 MB; its input is kept in a file.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { maxInput } from './fuzz/mutate.ts';
import { targets } from './fuzz/targets.ts';
import type { Assignment, Finding } from './fuzz/worker.ts';

const words = process.argv.slice(2);
const seconds = Number(words.find((word) => /^[0-9]+$/.test(word)) ?? 5);
const firstSeed = Number(words.find((word) => word.startsWith('seed='))?.slice(5) ?? 1);
const names = words.filter((word) => !/^[0-9]+$/.test(word) && !word.startsWith('seed='));
const unknown = names.filter((name) => !Object.hasOwn(targets, name));
if (unknown.length > 0) {
  process.stderr.write(`fuzz: unknown reader: ${unknown.join(', ')} (known: ${Object.keys(targets).join(', ')})\n`);
  process.exit(2);
}

/** A thread that makes no progress on one input for this long is stopped. */
const hangMs = 10_000;
const folder = join(tmpdir(), 'fewbit-fuzz');
const [loader, entry] = [import.meta.resolve('tsx/esm/api'), new URL('./fuzz/worker.ts', import.meta.url).href].map((url) => JSON.stringify(url));

async function fuzz(target: string): Promise<number> {
  const findings = new Set<string>();
  const note = ({ kind, input }: Finding): void => {
    // The same fault at the same place, whatever number it speaks of.
    const fault = kind.split(' | ').map((part, i) => (i === 0 ? part.replace(/[0-9.]+/g, 'N') : part)).join();
    if (findings.has(fault)) return;
    findings.add(fault);
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${target}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}`);
    writeFileSync(path, input);
    process.stdout.write(`${target}: ${kind}\n  ${path}\n`);
  };
  const end = performance.now() + seconds * 1000;
  const totals = [0, 0, 0];
  for (let seed = firstSeed; performance.now() < end; seed++) {
    const state = new Int32Array(new SharedArrayBuffer(20));
    const input = new Uint8Array(new SharedArrayBuffer(maxInput));
    state[1] = -1;
    const workerData: Assignment = { target, seed, seconds: (end - performance.now()) / 1000, state, input };
    const worker = new Worker(`import(${loader}).then(({ register }) => { register(); return import(${entry}); })`, {
      eval: true, workerData, resourceLimits: { maxOldGenerationSizeMb: 1024 },
    });
    await new Promise<void>((resolve) => {
      const current = (): Uint8Array => input.slice(0, Math.max(0, state[1]));
      const watch = setInterval(() => {
        const now = Date.now() & 0x7fffffff;
        if (Atomics.load(state, 1) < 0 || now - Atomics.load(state, 2) < hangMs) return;
        note({ kind: `no answer within ${hangMs / 1000} s`, input: current() });
        clearInterval(watch);
        void worker.terminate();
      }, 200);
      worker.on('message', note);
      worker.on('error', (error) => note({ kind: `the thread died: ${error.message}`, input: current() }));
      worker.on('exit', () => { clearInterval(watch); resolve(); });
    });
    totals[0] += state[0];
    totals[1] += state[3];
    totals[2] = Math.max(totals[2], state[4]);
  }
  process.stdout.write(`${target}: ${totals[0]} inputs in ${seconds} s, ${totals[1]} of them accepted, ${totals[2]} kept for leading somewhere new, ${findings.size} findings\n`);
  return findings.size;
}

let found = 0;
for (const name of names.length > 0 ? names : Object.keys(targets)) found += await fuzz(name);
process.exit(found > 0 ? 1 : 0);
