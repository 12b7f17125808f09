/** How many crafted files there are per format, and some of each through the command line itself; `npm run bench hostile` runs all. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cliCases, complaint, run } from './cli.ts';
import { hostileConfigs, hostileTokenizers } from './model-folder-cases.ts';
import { root } from './onnx-external-cases.ts';

const folder = await mkdtemp(join(tmpdir(), 'fewbit-hostile-'));
after(() => Promise.all([rm(folder, { recursive: true }), rm(root, { recursive: true })]));
const entry = ['--import', 'tsx', new URL('../../src/cli/main.ts', import.meta.url).pathname];

const formats = ['safetensors', 'gguf', 'onnx', 'onnx external data', 'config JSON', 'tokenizer JSON'];

/** Most of a process's time goes into compiling the sources, which a built command does not do. */
const starting = new Map<string, number>();
for (const command of ['inspect', 'quantize']) starting.set(command, (await run(entry, [command, join(folder, 'absent.onnx')])).seconds);

for (const format of formats) {
  const cases = cliCases.filter((found) => found.format === format);
  test(`${format}: at least 40 crafted files, no two alike`, () => {
    const names = new Set(cases.map(({ name }) => name));
    assert.ok(names.size >= 40, `${names.size} names`);
    for (const command of ['inspect', 'quantize']) {
      const given = cases.filter((found) => found.command === command).map(({ name }) => name);
      assert.equal(new Set(given).size, given.length);
    }
  });
  // Starting a process takes longer than refusing a file: two of each.
  for (const found of [0.3, 0.8].map((share) => cases[Math.floor(share * cases.length)])) {
    test(`fewbit ${found.command} refuses ${format}: ${found.name}`, { timeout: 60_000 }, async () => {
      assert.equal(await complaint(found, await mkdtemp(join(folder, 'case-')), entry, undefined, starting.get(found.command)), undefined);
    });
  }
}

test('configurations and tokenizers: at least 40 each beyond what is wrong with their JSON', () => {
  assert.ok(hostileConfigs.length >= 40, `${hostileConfigs.length} configurations`);
  assert.ok(hostileTokenizers.length >= 40, `${hostileTokenizers.length} tokenizers`);
});
