import assert from 'node:assert/strict';
import test from 'node:test';
import { encodeBlocksFast, hasKernel } from '../../src/engine/kernels/ggml.ts';
import { blockTypes } from '../../src/tensor-ref.ts';
import { decodeBlocks, ggmlTypes, type GgmlType } from '../../src/formats/ggml/index.ts';
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

/** Sub-blocks whose stored scale is zero keep other codes in ggml, which mean the same values; elsewhere bytes are equal. */
function assertSame(type: GgmlType, found: Uint8Array, expected: Uint8Array): void {
  assert.deepEqual(decodeBlocks(type, found), reference!.decode(type, expected));
  const size = blockTypes[type].bytes;
  let blocks = 0;
  for (let p = 0; p < found.length; p += size) if (Buffer.compare(found.subarray(p, p + size), expected.subarray(p, p + size)) !== 0) blocks++;
  assert.ok(blocks <= found.length / size / 8, `${blocks} of ${found.length / size} blocks differ`);
}

for (const type of ggmlTypes.filter((name) => hasKernel(name, false))) {
  test(`${type} kernel and ggml give the same values`, { skip: !reference && 'node-llama-cpp has no library for this machine' }, () => {
    assertSame(type, encodeBlocksFast(type as 'q4_k', 'f32', bytes, rows, cols)!, reference!.encode(type, values, rows, cols));
    if (hasKernel(type, true)) assertSame(type, encodeBlocksFast(type, 'f32', bytes, rows, cols, weights)!, reference!.encode(type, values, rows, cols, weights));
  });
}
