/**
 * Memory and interruption at size: a generated sharded Hugging Face folder (6 GB unless told) becomes GGUF Q4_K and ONNX
 * int4/g128 without a verdict (other targets when named: `npm run bench scale 1.5 transformers.js,safetensors`). Prints the
 * peak resident memory of the whole process tree; then a run is killed half-way with SIGKILL, resumed, and every file that
 * its result lists compared byte for byte.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileHash } from '../src/jobs/plan-node.ts';
import { generateModel, resident } from './scale/model.ts';

const gigabytes = Number(process.argv[2] ?? 6);
const targets = (process.argv[3] ?? 'gguf,onnx').split(',');
const folder = mkdtempSync(join(process.env.FEWBIT_SCRATCH ?? tmpdir(), 'fewbit-scale-'));
const cli = new URL('../dist/cli/main.js', import.meta.url).pathname;
if (!existsSync(cli)) {
  console.log('build first: npm run build');
  process.exit(2);
}

interface Run { readonly seconds: number; readonly peak: number; readonly code: number | null; readonly warned: boolean }

function fewbit(args: readonly string[], killAfter?: (output: string) => boolean): Promise<Run> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, 'quantize', join(folder, 'model'), ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let peak = 0;
  let text = '';
  let warned = false;
  child.stderr.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2000);
    warned ||= /Warning:/.test(text);
  });
  const timer = setInterval(() => {
    peak = Math.max(peak, resident(child.pid!));
    if (killAfter?.(text)) child.kill('SIGKILL');
  }, 50);
  return new Promise((resolve) => child.on('exit', (code) => {
    clearInterval(timer);
    if (code !== 0 && killAfter === undefined) console.log(text);
    resolve({ seconds: (performance.now() - started) / 1000, peak, code, warned });
  }));
}

interface Listed { readonly path: string; readonly bytes: number; readonly sha256: string }

/** What the result of a run lists. */
const listed = (output: string): Listed[] => (JSON.parse(readFileSync(join(output, 'result.json'), 'utf8')) as { outputs: { files: Listed[] }[] }).outputs[0].files;

/** Bytes of all files below a folder, those on their way included. */
const bytesBelow = (path: string): number =>
  readdirSync(path, { withFileTypes: true }).reduce((sum, entry) => sum + (entry.isDirectory() ? bytesBelow(join(path, entry.name)) : statSync(join(path, entry.name)).size), 0);

const formats: Readonly<Record<string, string>> = { gguf: 'q4_k', onnx: 'int4/g128', 'transformers.js': 'q4', safetensors: 'int4/g128' };

try {
  const { bytes, layers } = await generateModel(join(folder, 'model'), gigabytes);
  console.log(`${(bytes / 1e9).toFixed(2)} GB in bfloat16, ${layers} layers, sharded`);
  for (const target of targets) {
    const args = ['--to', target, '--weights', formats[target], '--recipe', 'rtn', '--no-verdict'];
    const label = `${target} ${formats[target]}`.padEnd(24);
    const whole = join(folder, 'whole'), cut = join(folder, 'cut');
    const run = await fewbit([...args, '-o', whole]);
    const files = listed(whole);
    const size = files.reduce((sum, file) => sum + file.bytes, 0);
    console.log(`${label} ${run.seconds.toFixed(0)} s (${(run.seconds / (bytes / 1e9)).toFixed(1)} s per GB), ${(size / 1e9).toFixed(2)} GB in ${files.length} files, peak resident ${(run.peak / 1e6).toFixed(0)} MB, exit ${run.code}${run.warned ? ', WARNINGS' : ''}`);
    const killed = await fewbit([...args, '-o', cut], () => existsSync(cut) && bytesBelow(cut) > size / 2);
    const left = bytesBelow(cut);
    const resumed = await fewbit([...args, '-o', cut, '--resume']);
    const hashes = await Promise.all([whole, cut].map((output) => Promise.all(files.map(({ path }) => fileHash(join(output, path))))));
    const equal = hashes[0].join() === hashes[1].join() && JSON.stringify(listed(cut)) === JSON.stringify(files);
    console.log(`${label} killed after ${killed.seconds.toFixed(0)} s with ${(left / 1e9).toFixed(2)} GB, resumed in ${resumed.seconds.toFixed(0)} s (peak ${(resumed.peak / 1e6).toFixed(0)} MB, exit ${resumed.code}): ${equal ? 'the same bytes in all files' : 'DIFFERENT BYTES'}`);
    if (!equal || run.code !== 0 || Math.max(run.peak, resumed.peak) > 800e6 || run.warned || resumed.warned) process.exitCode = 1;
    rmSync(whole, { recursive: true, force: true });
    rmSync(cut, { recursive: true, force: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
