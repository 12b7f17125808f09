import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundle, smallEntries, smallLimit } from './bundle.ts';

test('formats and the runtime of language models stay small and carry no inference engine', async () => {
  const { bytes, inputs } = await bundle(smallEntries, { minify: true });
  assert.ok(bytes.gzip < smallLimit, `${bytes.gzip} bytes compressed`);
  assert.deepEqual(Object.keys(inputs).filter((path) => /onnxruntime|engine\/ort/.test(path)), []);
});

test('formats carry no package at all', async () => {
  const { inputs } = await bundle(['src/formats/index.ts']);
  assert.deepEqual(Object.keys(inputs).filter((path) => /node_modules|engine\//.test(path)), []);
});
