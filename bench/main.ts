/**
 * `npm run bench [names]`: runs the benchmarks named, or all; each is one file beside this one that prints its own units.
 * `npm run bench fuzz …`, `npm run bench onnx-models …`: what follows the name goes to that benchmark.
 */
import { readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));
const known = readdirSync(folder).filter((file) => file.endsWith('.ts') && file !== 'main.ts').map((file) => file.slice(0, -3)).sort();
const words = process.argv.slice(2);
/** Benchmarks that take words of their own. */
const choosy = ['compare', 'fuzz', 'onnx-models', 'qdq', 'studio-scale', 'training'];
const choosing = choosy.includes(words[0]);
const asked = choosing ? [words[0]] : words;
const unknown = asked.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`bench: unknown benchmark: ${unknown.join(', ')} (known: ${known.join(', ')})\n`);
  process.exit(2);
}
let worst = 0;
for (const name of asked.length > 0 ? asked : known) {
  process.stdout.write(`\n# ${name}\n`);
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', `${folder}${name}.ts`, ...(choosing ? words.slice(1) : [])], { stdio: 'inherit' });
  // 3 means that data is missing: not run, which among several benchmarks is neither a pass nor a failure.
  if (status !== 0 && (status !== 3 || asked.length === 1)) worst = status ?? 1;
}
process.exit(worst);
