import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Command } from 'commander';
import { commands } from '../../src/cli/commands/index.ts';
import { papers } from '../../src/recipes/catalogue.ts';

const root = new URL('../../', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'fewbit-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function fewbit(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'src/cli/main.ts'), ...args], { encoding: 'utf8', cwd: root });
  return { code: status, out: stdout, err: stderr };
}

const kws = ['assets/kws-dscnn/kws-dscnn.onnx', '--data', 'assets/kws-dscnn/inputs.npy', '--labels', 'assets/kws-dscnn/labels.npy', '--calibration-samples', '50', '--evaluation-samples', '50'];

test('quantize answers in JSON, with progress on standard error only', () => {
  const { code, out, err } = fewbit('quantize', ...kws, '--bits', '8', '-o', join(folder, 'json'), '--json');
  assert.equal(code, 0, err);
  const result = JSON.parse(out) as { outputs: { file: string; verdict: { score: { samples: number } } }[] };
  assert.equal(result.outputs[0].file, 'kws-dscnn-int8.onnx');
  assert.equal(result.outputs[0].verdict.score.samples, 50);
  assert.match(err, /kws-dscnn-int8\.onnx/);
});

test('a missed gate is exit code 3, bad input 1, a bad command line 2', () => {
  assert.equal(fewbit('quantize', ...kws, '--bits', '8', '-o', join(folder, 'gate'), '--max-size', '1kB').code, 3);
  const missing = fewbit('quantize', 'nowhere.onnx', '-o', join(folder, 'missing'));
  assert.equal(missing.code, 1);
  assert.match(missing.err, /^fewbit: nowhere\.onnx: no such file or folder\n/m);
  assert.ok(!existsSync(join(folder, 'missing')));
  assert.equal(fewbit('quantize', ...kws, '--no-such-option').code, 2);
  assert.equal(fewbit('juggle').code, 2);
});

test('a dry run of a language model lists tensors, and refusals make it exit with 1', () => {
  const fine = fewbit('quantize', 'assets/host-llama-shakespeare', '--to', 'gguf', '--weights', 'q4_k', '--dry-run', '-o', join(folder, 'dry'));
  assert.equal(fine.code, 0, fine.err);
  assert.match(fine.out, /blk\.5\.ffn_down\.weight +\[256, 512\] +f32 -> q4_k/);
  const refused = fewbit('quantize', 'assets/host-llama-shakespeare', '--to', 'safetensors', '--layout', 'awq', '--weights', 'int3/g128', '--dry-run', '-o', join(folder, 'dry'));
  assert.notEqual(refused.code, 0);
});

test('every command has help with an example', () => {
  for (const command of ['quantize', 'compare', 'evaluate', 'convert', 'inspect', 'recipes', 'bench', 'demo']) {
    const { code, out } = fewbit(command, '--help');
    assert.equal(code, 0);
    assert.match(out, new RegExp(`Example:\n  fewbit ${command}`));
  }
});

test('the catalogue finds methods by words and says which run', () => {
  const { code, out } = fewbit('recipes', 'whitepaper', '--json');
  assert.equal(code, 0);
  const found = JSON.parse(out) as { name: string; runnable: boolean }[];
  assert.ok(found.some(({ name, runnable }) => name === 'krishnamoorthi-int8' && runnable));
  assert.ok((JSON.parse(fewbit('recipes', '--json').out) as unknown[]).length >= 56);
});

test('methods that are no recipe are run by an option that its command has', () => {
  for (const { name, runBy } of papers) {
    if (runBy === undefined) continue;
    const found = commands.find(({ usage }) => usage.split(' ')[0] === runBy.command);
    const given = new Command();
    found?.options(given);
    assert.ok(given.options.some(({ long }) => long === runBy.option), `${name}: fewbit ${runBy.command} ${runBy.option}`);
  }
});

test('run reads its prompt from standard input, and says what to do where there is none', () => {
  const run = (input: string) => spawnSync(process.execPath, ['--import', 'tsx', join(root, 'src/cli/main.ts'), 'run', 'assets/draft-llama-shakespeare', '--max-tokens', '4', '--threads', '1'], { encoding: 'utf8', cwd: root, input });
  const { status, stdout } = run('ROMEO:\n');
  assert.deepEqual([status, stdout], [0, `${fewbit('run', 'assets/draft-llama-shakespeare', '--max-tokens', '4', '--threads', '1', '--prompt', 'ROMEO:').out}`]);
  const none = run('');
  assert.equal(none.status, 1);
  assert.match(none.stderr, /^fewbit: there is no prompt\n {2}give one with --prompt/m);
});
