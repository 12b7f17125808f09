import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { memorySource } from '../src/files/source.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { run } from '../src/jobs/run-node.ts';
import { openBrowser, type Browser } from './browser.ts';
import { root } from './bundle.ts';
import { writtenBy, type Written } from './shared/runtime.ts';

const files = new Map<string, Uint8Array>();
const expected = new Map<string, Written>();
let browser: Browser;
let folder: string;
let onnx: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fewbit-runtime-'));
  const { outputs } = await quantize({ model: join(root, 'assets/host-llama-shakespeare'), output: folder, to: 'gguf', weights: 'q8_0,q4_k', verdict: false });
  for (const { files: [{ path }] } of outputs) {
    const bytes = await readFile(join(folder, path));
    files.set(`made/${path}`, bytes);
    expected.set(path, await writtenBy(memorySource(path, bytes)));
    files.set(`made/cut-${path}`, bytes.subarray(0, bytes.byteLength - 1000));
  }
  const made = await quantize({ model: join(root, 'assets/host-llama-shakespeare'), output: join(folder, 'js'), to: 'transformers.js', weights: 'int4/g32', verdict: false });
  onnx = made.outputs[0].file;
  for (const { path } of made.outputs[0].files) files.set(`made/${path}`, await readFile(join(folder, 'js', path)));
  // A model with a template of its own has no file for it beside, which is asked for otherwise.
  const config = `made/${onnx.split('/')[0]}/tokenizer_config.json`;
  files.set(config, new TextEncoder().encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(files.get(config))) as object, chat_template: '{{ messages[0].content }}' })));
  browser = await openBrowser('test-browser/shared/runtime-page.ts', { files });
});
after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

test('GGUF models write in Chromium the tokens that they write in Node: from a Blob, from an address, and in a worker', async () => {
  assert.equal(expected.size, 2);
  for (const [path, written] of expected) {
    assert.equal(written.ids.length, 48);
    assert.equal(typeof JSON.parse(written.json).act, 'number');
    for (const way of ['fromBlob', 'fromUrl', 'inWorker']) assert.deepEqual(await browser.call(way, `made/${path}`), written, `${path} ${way}`);
  }
});

test('a GGUF that was cut off ends in one line in the page, as in Node', async () => {
  for (const path of expected.keys()) {
    const message = await browser.call<string>('refusal', `made/cut-${path}`);
    assert.doesNotMatch(message, /\n|opened/);
    await assert.rejects(writtenBy(memorySource(`made/cut-${path}`, files.get(`made/cut-${path}`)!)), { message });
  }
});

test('an ONNX file of a folder for transformers.js writes in Chromium what it writes in Node', async () => {
  const { text } = await run({ model: join(folder, 'js', onnx), prompt: 'ROMEO:', maxTokens: 16, context: 64, threads: 1 });
  const [name, ...file] = onnx.split('/');
  assert.equal(await browser.call('fromOnnx', `made/${name}/`, file.join('/'), 'ROMEO:'), text);
});
