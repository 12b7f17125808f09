import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openFile } from '../src/files/fs-node.ts';
import { openBrowser, type Browser } from './browser.ts';
import { root } from './bundle.ts';
import { ggufHashes, onnxHashes, realFiles, rewritten, safetensorsHashes } from './shared/files.ts';

let browser: Browser;
before(async () => { browser = await openBrowser('test-browser/shared/files.ts'); });
after(() => browser?.close());

test('a safetensors file written in Chromium has the bytes of Node and reads the same', async () => {
  assert.deepEqual(await browser.call('safetensorsHashes'), await safetensorsHashes());
});

test('a GGUF file with every metadata and block type has the same bytes in both', async () => {
  assert.deepEqual(await browser.call('ggufHashes'), await ggufHashes());
});

test('an ONNX file with bodies and external data has the same bytes in both', async () => {
  assert.deepEqual(await browser.call('onnxHashes'), await onnxHashes());
});

test('real files read from disk in Node, from Blobs and from URLs in Chromium, give equal files', async () => {
  const here = await rewritten({ onnx: await openFile(join(root, realFiles.onnx)), safetensors: await openFile(join(root, realFiles.safetensors)) });
  assert.deepEqual(await browser.call('rewrittenBlobs'), here);
  assert.deepEqual(await browser.call('rewrittenUrls'), here);
});
