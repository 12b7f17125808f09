/**
 * Every crafted file through the built command line, a process each: `npm run build && npm run bench hostile`.
 * Prints per format how many answered in one line, a non-zero exit and nothing written, and the most time and memory of one.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cliCases, complaint } from '../test/hostile/cli.ts';
import { root } from '../test/hostile/onnx-external-cases.ts';

const entry = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
if (!existsSync(entry)) {
  process.stderr.write('hostile: dist/ is missing; run npm run build first\n');
  process.exit(3);
}
const words = process.argv.slice(2);
const chosen = cliCases.filter(({ format }) => words.length === 0 || words.includes(format));
const totals = new Map<string, { runs: number; fine: number; seconds: number; megabytes: number }>();
const queue = chosen.values();

/** Processes at a time. */
const lanes = Number(process.env.FEWBIT_BENCH_THREADS ?? 2);
await Promise.all(Array.from({ length: lanes }, async () => {
  for (const found of queue) {
    const folder = await mkdtemp(join(tmpdir(), 'fewbit-hostile-'));
    const key = `${found.format}, ${found.command}`;
    const total = totals.get(key) ?? { runs: 0, fine: 0, seconds: 0, megabytes: 0 };
    totals.set(key, total);
    const wrong = await complaint(found, folder, [entry], ({ seconds, megabytes }) => {
      total.seconds = Math.max(total.seconds, seconds);
      total.megabytes = Math.max(total.megabytes, megabytes);
    });
    total.runs++;
    if (wrong === undefined) total.fine++;
    else process.stdout.write(`${key}, ${found.name}: ${wrong}\n`);
    await rm(folder, { recursive: true });
  }
}));
await rm(root, { recursive: true });
for (const [key, { runs, fine, seconds, megabytes }] of totals) {
  process.stdout.write(`${key.padEnd(32)} ${String(fine).padStart(4)} of ${String(runs).padStart(4)} as they should; at most ${seconds.toFixed(2)} s of processor, ${megabytes.toFixed(0)} MB\n`);
}
process.exit([...totals.values()].every(({ runs, fine }) => runs === fine) ? 0 : 1);
