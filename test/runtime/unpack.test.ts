/** Codes, scales and minima of blocks stand for the values that the codecs decode. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { packMatrix, rowOf } from '../../src/runtime/packed-matrix.ts';
import { packedTypes } from '../../src/runtime/packed-forms.ts';
import { unpackers } from '../../src/runtime/unpack.ts';
import { blockTypes, floatTensor, memoryTensor, type BlockType } from '../../src/tensor-ref.ts';
import { assertSums, packedProduct } from './packed-product.ts';

const [rows, cols] = [6, 512];
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(9, 0, i) * (1 + (i % 7)));

for (const type of [...Object.keys(unpackers), ...Object.keys(packedTypes)] as BlockType[]) {
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

for (const type of Object.keys(packedTypes) as BlockType[]) {
  for (const bits of [8, 16] as const) {
    test(`products of ${type} with inputs of ${bits}: the bits of the plain twin, and what float64 gives of the decoded values and the rounded inputs`, async () => {
      const blocks = memoryTensor('w', type, [rows, cols], encodeBlocks(type, values, rows, cols));
      const decoded = decodeBlocks(type, await blocks.read());
      for (const tokens of [1, 5]) {
        const [fast, plain] = [await packedProduct(lowBitKernels, blocks, tokens, bits), await packedProduct(plainLowBit, blocks, tokens, bits)];
        assert.deepEqual(fast.out, plain.out);
        for (let r = 0; r < rows; r++) assertSums(fast, r, decoded.subarray(r * cols, (r + 1) * cols), 2e-6);
      }
    });
  }
}

for (const [type, codes] of [['mxfp4', 1], ['nvfp4', 4]] as const) {
  test(`any byte may be a scale of ${type}`, async () => {
    const { block, bytes: blockBytes } = blockTypes[type];
    const [tall, wide] = [256 / codes, block];
    const bytes = encodeBlocks(type, values.subarray(0, 1024), 1024 / block, block);
    const blocks = Uint8Array.from({ length: tall * blockBytes }, (_, i) => (i % blockBytes < codes ? codes * Math.floor(i / blockBytes) + (i % blockBytes) : bytes[i % bytes.length]));
    const arena = new Arena();
    const matrix = await packMatrix(memoryTensor('w', type, [tall, wide], blocks), arena);
    const decoded = decodeBlocks(type, blocks);
    const out = new Float32Array(wide);
    for (let r = 0; r < tall; r++) {
      rowOf(arena, matrix, r, out);
      assert.ok(out.every((value, c) => value === decoded[r * wide + c]), `scales of row ${r}`);
    }
  });
}

test('types that are packed take little more than in the file', async () => {
  // Bits of a weight held and in the file: floats for each row of 256 columns, or for each group, come on top.
  const held = await Promise.all((Object.keys(packedTypes) as BlockType[]).map(async (type) => {
    const bytes = encodeBlocks(type, new Float32Array(8 * cols), 8, cols);
    const matrix = await packMatrix(memoryTensor('w', type, [8, cols], bytes), new Arena());
    return [type, (8 * matrix.bytes) / (8 * cols), (8 * bytes.length) / (8 * cols)] as const;
  }));
  assert.deepEqual(held, [
    ['q2_k', 3.25, 2.625], ['q3_k', 3.625, 3.4375], ['tq2_0', 2.375, 2.0625], ['iq4_nl', 5, 4.5], ['iq4_xs', 4.375, 4.25], ['mxfp4', 5, 4.25], ['nvfp4', 6, 4.5],
  ]);
});

test('types without codes for the kernels, and widths that end within a group, are kept as floats', async () => {
  const arena = new Arena();
  const bytes = encodeBlocks('tq1_0', values, rows, cols);
  const blocks = await packMatrix(memoryTensor('w', 'tq1_0', [rows, cols], bytes), arena);
  const odd = await packMatrix(floatTensor('v', [5, 44], values.slice(0, 220)), arena);
  const out = new Float32Array(cols);
  rowOf(arena, blocks, 3, out);
  assert.deepEqual(out, decodeBlocks('tq1_0', bytes).subarray(3 * cols, 4 * cols));
  rowOf(arena, odd, 4, out);
  assert.deepEqual(out.subarray(0, 44), values.subarray(176, 220));
});
