import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { memorySource } from '../src/files/source.ts';
import { quantize } from '../src/jobs/quantize-node.ts';
import { openBrowser, type Browser } from './browser.ts';
import { root } from './bundle.ts';
import { writtenBy, type Written } from './shared/runtime.ts';

const files = new Map<string, Uint8Array>();
const expected = new Map<string, Written>();
let browser: Browser;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fewbit-runtime-'));
  const { outputs } = await quantize({ model: join(root, 'assets/host-llama-shakespeare'), output: folder, to: 'gguf', weights: 'q8_0,q4_k', verdict: false });
  for (const { files: [{ path }] } of outputs) {
    const bytes = await readFile(join(folder, path));
    files.set(`made/${path}`, bytes);
    expected.set(path, await writtenBy(memorySource(path, bytes)));
    files.set(`made/cut-${path}`, bytes.subarray(0, bytes.byteLength - 1000));
  }
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
