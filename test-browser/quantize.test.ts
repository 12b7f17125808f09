import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { quantize } from '../src/jobs/quantize-node.ts';
import type { WebRequest } from '../src/web.ts';
import { openBrowser, type Browser } from './browser.ts';
import { root } from './bundle.ts';
import { digest } from './shared/digest.ts';

let browser: Browser;
let folder: string;
before(async () => {
  browser = await openBrowser('test-browser/shared/quantize-page.ts');
  folder = await mkdtemp(join(tmpdir(), 'fewbit-browser-'));
});
after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

/** SHA-256 of every file that the job makes in Node with so many threads. */
async function hashesInNode(model: string, request: WebRequest, threads: number): Promise<Record<string, string>> {
  const output = join(folder, `${threads}`);
  const { outputs } = await quantize({ ...request, model: join(root, 'assets', model), output, threads, verdict: false, overwrite: true });
  const files = outputs.flatMap((output) => output.files);
  return Object.fromEntries(await Promise.all(files.map(async ({ path }) => [path, await digest(await readFile(join(output, path)))])));
}

const llama = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((file) => `host-llama-shakespeare/${file}`);

const cases: readonly { readonly what: string; readonly model: string; readonly paths: readonly string[]; readonly request: WebRequest }[] = [
  { what: 'the Llama to GGUF Q4_K and ONNX int4/g32', model: 'host-llama-shakespeare', paths: llama, request: { to: 'gguf,onnx', weights: 'q4_k,int4/g32' } },
  { what: 'keyword spotting to int4/channel', model: 'kws-dscnn/kws-dscnn.onnx', paths: ['kws-dscnn/kws-dscnn.onnx'], request: { to: 'onnx', weights: 'int4/channel' } },
];

for (const { what, model, paths, request } of cases) {
  test(`${what}: the same bytes in Node with one thread, with two, and in Chromium`, async () => {
    const one = await hashesInNode(model, request, 1);
    assert.ok(Object.keys(one).length > 0);
    assert.deepEqual(await hashesInNode(model, request, 2), one);
    assert.deepEqual(await browser.call('quantizedHashes', paths, request), one);
  });
}
