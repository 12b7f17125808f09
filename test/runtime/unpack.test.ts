/** Codes, scales and minima of blocks stand for the values that the codecs decode. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { packMatrix, rowOf } from '../../src/runtime/packed-matrix.ts';
import { unpackers } from '../../src/runtime/unpack.ts';
import { floatTensor, memoryTensor, type BlockType } from '../../src/tensor-ref.ts';

const [rows, cols] = [6, 512];
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(9, 0, i) * (1 + (i % 7)));

for (const type of Object.keys(unpackers) as BlockType[]) {
  test(`rows of a matrix in ${type}`, async () => {
    const bytes = encodeBlocks(type, values, rows, cols);
    const arena = new Arena();
    const matrix = await packMatrix(memoryTensor('w', type, [rows, cols], bytes), arena);
    const decoded = decodeBlocks(type, bytes);
    const out = new Float32Array(cols);
    for (let r = 0; r < rows; r++) {
      rowOf(arena, matrix, r, out);
      // A zero keeps no sign here.
      assert.ok(out.every((value, c) => value === decoded[r * cols + c]));
    }
  });
}

test('types without codes for the kernels, and widths that end within a group, are kept as floats', async () => {
  const arena = new Arena();
  const bytes = encodeBlocks('q3_k', values, rows, cols);
  const blocks = await packMatrix(memoryTensor('w', 'q3_k', [rows, cols], bytes), arena);
  const odd = await packMatrix(floatTensor('v', [5, 44], values.slice(0, 220)), arena);
  const out = new Float32Array(cols);
  rowOf(arena, blocks, 3, out);
  assert.deepEqual(out, decodeBlocks('q3_k', bytes).subarray(3 * cols, 4 * cols));
  rowOf(arena, odd, 4, out);
  assert.deepEqual(out.subarray(0, 44), values.subarray(176, 220));
});
