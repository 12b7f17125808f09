/** Runs killed in the middle of a write and resumed: the same bytes, and a result that lists every file. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FewbitError } from '../../src/errors.ts';
import { quantize, writeBeside } from '../../src/jobs/quantize-node.ts';
import type { QuantizeRequest } from '../../src/jobs/settings.ts';

const model = join(import.meta.dirname, '../../assets/host-llama-shakespeare');
const root = mkdtempSync(join(tmpdir(), 'fewbit-resume-'));
after(() => rmSync(root, { recursive: true, force: true }));

/** Every file below a folder with its hash. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name)).sort();
  return Object.fromEntries(files.map((path) => [path.slice(folder.length + 1), createHash('sha256').update(readFileSync(path)).digest('hex')]));
}

/** Runs until `bytes` bytes of tensors are written. */
function killed(request: QuantizeRequest, bytes: number): void {
  const child = spawnSync(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'interrupted-child.ts'), JSON.stringify(request), String(bytes)], { encoding: 'utf8' });
  assert.equal(child.signal, 'SIGKILL', child.stderr);
}

const cases: readonly (readonly [name: string, request: Omit<QuantizeRequest, 'model' | 'output'>])[] = [
  ['gguf', { to: 'gguf', weights: 'q4_k' }],
  ['onnx', { to: 'onnx', weights: 'int4/g128', recipe: 'rtn' }],
  ['transformers.js', { to: 'transformers.js', weights: 'q4', recipe: 'rtn' }],
  ['safetensors', { to: 'safetensors', weights: 'int4/g128', recipe: 'rtn' }],
];

for (const [name, options] of cases) {
  test(`${name}: killed and resumed, the bytes of an uninterrupted run`, async () => {
    const request = (output: string): QuantizeRequest => ({ model, verdict: false, threads: 1, ...options, output: join(root, `${name}-${output}`) });
    const whole = await quantize(request('whole'));
    const size = whole.outputs[0].files.reduce((sum, { bytes }) => Math.max(sum, bytes), 0);
    const cut = request('cut');
    killed(cut, Math.floor(0.6 * size));
    assert.ok(Object.keys(contents(cut.output)).every((path) => /\.(partial|journal)$/.test(path)), 'no file has its name yet');
    const resumed = await quantize({ ...cut, resume: true });
    assert.deepEqual(contents(cut.output), contents(request('whole').output));
    assert.deepEqual(resumed.outputs[0].files, whole.outputs[0].files);
  });
}

const two: Omit<QuantizeRequest, 'output'> = { model, verdict: false, threads: 1, to: 'safetensors,gguf', weights: 'int4/g128,q4_k', recipe: 'rtn' };

test('an output that was finished before the interruption keeps its files, its errors and its notes', async () => {
  const output = join(root, 'two-cut');
  const whole = await quantize({ ...two, output: join(root, 'two-whole') });
  const first = whole.outputs[0].files.find(({ path }) => path.endsWith('.safetensors'))!.bytes;
  killed({ ...two, output }, first + 100_000);
  assert.ok(existsSync(join(output, `${whole.outputs[0].file}.finished`)), 'a record of the first output');
  const { outputs } = await quantize({ ...two, output, resume: true });
  assert.deepEqual(outputs[0].files, whole.outputs[0].files);
  assert.deepEqual(outputs[0].tensors, whole.outputs[0].tensors);
  assert.deepEqual(outputs[0].notes, whole.outputs[0].notes);
  assert.deepEqual(contents(output), contents(join(root, 'two-whole')), 'no journal and no record is left');
});

test('resumed after its end, a run makes nothing and lists every file', async () => {
  const request: QuantizeRequest = { model, verdict: false, threads: 1, to: 'transformers.js', weights: 'q8', output: join(root, 'again') };
  const { outputs: [whole] } = await quantize(request);
  const { outputs: [again] } = await quantize({ ...request, resume: true });
  const byPath = <T extends { readonly path: string }>(files: readonly T[]): T[] => [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  assert.deepEqual(byPath(again.files), byPath(whole.files));
  assert.deepEqual(again.notes, ['finished by an earlier run']);
});

test('a file that other settings finished is not taken for this run\'s', async () => {
  const request: QuantizeRequest = { model, verdict: false, threads: 1, to: 'onnx', weights: 'int4/g128', recipe: 'rtn', output: join(root, 'other') };
  await writeBeside(await quantize(request), request.output);
  await assert.rejects(quantize({ ...request, recipe: 'scale-search', resume: true }), (error) => error instanceof FewbitError && error.code === 'finished.otherRun');
  const { outputs: [same] } = await quantize({ ...request, resume: true });
  assert.ok(same.tensors.some(({ squaredError }) => squaredError !== undefined), 'errors are read from the manifest');
});

test('a folder that cannot be made is told in one line', async () => {
  writeFileSync(join(root, 'file'), '');
  await assert.rejects(quantize({ model, verdict: false, threads: 1, to: 'gguf', weights: 'q4_k', output: join(root, 'file', 'out') }),
    (error) => error instanceof FewbitError && /the folder cannot be made/.test(error.message) && !error.message.includes('\n'));
});

test('what a full disk cuts off leaves no file and no new folder, and a file to be replaced stays', () => {
  // A limit on file size stands in for the full disk; 512-byte blocks in POSIX shells.
  const run = (output: string, ...more: string[]) => spawnSync('bash', ['-c', 'trap "" XFSZ; ulimit -f 1000; exec "$@"', 'bash', process.execPath, '--import', 'tsx',
    join(import.meta.dirname, '../../src/cli/main.ts'), 'quantize', model, '--to', 'transformers.js,safetensors', '--weights', 'int4/g128', '--recipe', 'rtn', '--no-verdict', '--threads', '1', '-o', output, ...more], { encoding: 'utf8' });
  const fresh = run(join(root, 'full', 'deep'));
  assert.notEqual(fresh.status, 0);
  assert.match(fresh.stderr, /^fewbit: .*larger than the file system allows$/m);
  assert.ok(!existsSync(join(root, 'full')));
  const kept = join(root, 'kept');
  mkdirSync(kept);
  const file = 'host-llama-shakespeare-transformers.js/onnx/model_int4-g128.onnx';
  mkdirSync(join(kept, 'host-llama-shakespeare-transformers.js/onnx'), { recursive: true });
  writeFileSync(join(kept, file), 'old');
  assert.notEqual(run(kept, '--overwrite').status, 0);
  assert.deepEqual(Object.keys(contents(kept)), [file]);
  assert.equal(readFileSync(join(kept, file), 'utf8'), 'old');
});
