import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundle, smallEntries, smallLimit } from './bundle.ts';

test('formats stay small and carry no inference engine', async () => {
  const { bytes, inputs } = await bundle(smallEntries, { minify: true });
  assert.ok(bytes.gzip < smallLimit, `${bytes.gzip} bytes compressed`);
  assert.deepEqual(Object.keys(inputs).filter((path) => /onnxruntime|engine\/ort|node_modules/.test(path)), []);
});
