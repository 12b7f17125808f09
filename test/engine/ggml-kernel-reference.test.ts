import assert from 'node:assert/strict';
import test from 'node:test';
import { encodeBlocksFast, hasKernel } from '../../src/engine/kernels/ggml.ts';
import { ggmlTypes } from '../../src/formats/ggml/index.ts';
import { normal } from '../../src/numeric/random.ts';
import { ggmlReference } from '../formats/ggml-reference.ts';

const reference = ggmlReference();
const rows = 24;
const cols = 1024;
const values = Float32Array.from({ length: rows * cols }, (_, i) => {
  const row = Math.floor(i / cols);
  return Math.fround(normal(1, row, i % cols) * (i % 211 === 0 ? 20 : 1) * 0.02 * (1 + row));
});
const bytes = new Uint8Array(values.buffer);
const weights = Float32Array.from({ length: cols }, (_, i) => normal(2, 0, i) ** 2);

for (const type of ggmlTypes.filter((name) => hasKernel(name, false))) {
  test(`${type} kernel and ggml give the same bytes`, { skip: !reference && 'node-llama-cpp has no library for this machine' }, () => {
    assert.deepEqual(encodeBlocksFast(type as 'q4_k', 'f32', bytes, rows, cols), reference!.encode(type, values, rows, cols));
    if (!hasKernel(type, true)) return;
    assert.deepEqual(encodeBlocksFast(type, 'f32', bytes, rows, cols, weights), reference!.encode(type, values, rows, cols, weights));
  });
}
