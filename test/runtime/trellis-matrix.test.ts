/** Products straight from trellis codes: values of rows, the bits of the plain twin, and matrices behind rotations. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { encodeTrellisFast } from '../../src/engine/kernels/trellis.ts';
import { encodeBlocks } from '../../src/formats/column-blocks.ts';
import type { CodedMatrix } from '../../src/formats/coded.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { isRotated, rotated } from '../../src/formats/rotated.ts';
import { isTrellisFormat, type TrellisFormat } from '../../src/formats/trellis/trellis.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { packMatrix, rowOf } from '../../src/runtime/packed-matrix.ts';
import { floatTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { assertSums, packedProduct, type PackedProduct } from './packed-product.ts';

/** Rows end within a tile and a panel, columns within a group. */
const [rows, cols] = [28, 80];
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(5, 0, i) * (1 + Math.floor(i / cols) / 8));

/** A matrix in a format, and what it decodes to. */
function inFormat(spelling: string, from: Float32Array = values, [height, width]: readonly [number, number] = [rows, cols]): { readonly tensor: TensorRef; readonly decoded: Float32Array; readonly scales: Float32Array } {
  const format = parseFormat(spelling);
  const inner = (isRotated(format) ? format.inner : format) as TrellisFormat;
  assert.ok(isTrellisFormat(inner));
  const quantized = encodeBlocks(inner, isRotated(format) ? rotated(from, height, width) : from, height, width, {}, encodeTrellisFast);
  const decoded = format.decode({ ...quantized, format: format.name });
  const coded: CodedMatrix = { read: async () => undefined, trellis: async () => ({ format: inner, codes: quantized.codes as Uint8Array, scales: quantized.scales }), ...(isRotated(format) ? { rotated: true } : {}) };
  return { tensor: { ...floatTensor('w', [height, width], decoded), coded }, decoded, scales: quantized.scales };
}

for (const [spelling, bound] of [['tcq1.5/l12', 2 ** -12], ['tcq3', 2 ** -12], ['tcq3.25', 2 ** -12], ['tcq4', 1e-6], ['tcq4.25', 1e-6], ['tcq2@3inst', 2 ** -12], ['tcq2.25/l16@1mad', 1e-6], ['tcq3/l10', 2 ** -12]] as const) {
  test(`${spelling}: rows are what the codec decodes, to 2^-12 of the largest level, and products have the bits of the plain twin`, async () => {
    const { tensor, decoded, scales } = inFormat(spelling);
    const runs = new Map<string, PackedProduct>();
    for (const bits of [8, 16] as const) {
      const [fast, plain] = [await packedProduct(lowBitKernels, tensor, 5, bits), await packedProduct(plainLowBit, tensor, 5, bits)];
      assert.deepEqual(fast.out, plain.out);
      runs.set(String(bits), fast);
    }
    const fast = runs.get('16')!;
    const { arena, matrix } = fast;
    assert.equal(matrix.layout, 'trellis');
    const row = new Float32Array(cols);
    for (let r = 0; r < rows; r++) {
      rowOf(arena, matrix, r, row);
      // The largest level of a normal is below 5 of its deviations.
      row.forEach((value, c) => assert.ok(Math.abs(value - decoded[r * cols + c]) <= 5 * bound * scales[r], `${value} where ${decoded[r * cols + c]} belongs`));
      assertSums(fast, r, row, 2e-6);
    }
  });
}

test('a matrix behind rotations: inputs are turned, results turned back, and little is lost beside floats', async () => {
  const [height, width] = [48, 96];
  const { tensor, decoded } = inFormat('tcq3.25+had', Float32Array.from({ length: height * width }, (_, i) => normal(6, 0, i)), [height, width]);
  const tokens = 5;
  const { out, matrix, x } = await packedProduct(lowBitKernels, tensor, tokens, 8);
  assert.equal(matrix.layout, 'own');
  let [far, size] = [0, 0];
  for (let t = 0; t < tokens; t++) {
    for (let r = 0; r < height; r++) {
      let expected = 0;
      for (let c = 0; c < width; c++) expected += decoded[r * width + c] * x[t * width + c];
      far += (out[t * height + r] - expected) ** 2;
      size += expected ** 2;
    }
  }
  assert.ok(Math.sqrt(far / size) < 1e-3, `relative distance ${Math.sqrt(far / size)}`);
});

test('a packed trellis takes little more than its codes: four bytes a tile', async () => {
  const { tensor } = inFormat('tcq3');
  const { bytes } = await packMatrix(tensor, new Arena());
  assert.equal(bytes, 2 * 5 * (96 + 4) + 4 * 32);
});
