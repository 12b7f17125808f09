/** Products straight from trellis codes: values of rows, the bits of the plain twin, and matrices behind rotations. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inputBytes, lowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { encodeTrellisFast } from '../../src/engine/kernels/trellis.ts';
import { encodeBlocks } from '../../src/formats/column-blocks.ts';
import type { CodedMatrix } from '../../src/formats/coded.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { isRotated, rotated } from '../../src/formats/rotated.ts';
import { isTrellisFormat, type TrellisFormat } from '../../src/formats/trellis/trellis.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { multiply, packMatrix, rowOf, takeRounded, type PackedMatrix } from '../../src/runtime/packed-matrix.ts';
import { floatTensor, type TensorRef } from '../../src/tensor-ref.ts';

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

interface Run { readonly out: Float32Array; readonly arena: Arena; readonly matrix: PackedMatrix; readonly at: number; readonly x: Float32Array }

async function product(kernels: typeof lowBitKernels | typeof plainLowBit, tensor: TensorRef, tokens: number, bits: 8 | 16): Promise<Run> {
  const [height, width] = tensor.shape;
  const [padded, stride] = [Math.ceil(width / 32) * 32, Math.ceil(height / 4) * 4];
  const arena = new Arena();
  const matrix = await packMatrix(tensor, arena);
  const [x, out] = [arena.take(4 * tokens * padded), arena.take(4 * tokens * stride)];
  const rounded = takeRounded(arena, tokens, padded, bits);
  arena.floats(x, tokens * padded).forEach((_, i, all) => { all[i] = i % padded < width ? normal(10, 0, i) : 0; });
  const k = kernels(arena.memory);
  k.roundInputs(x, (tokens * padded) / 32, rounded);
  multiply(k, matrix, { x, rounded }, tokens, out, stride);
  return { out: arena.floats(out, tokens * stride).slice(), arena, matrix, at: rounded.at, x: arena.floats(x, tokens * padded).slice() };
}

for (const [spelling, bound] of [['tcq1.5/l12', 2 ** -12], ['tcq3', 2 ** -12], ['tcq3.25', 2 ** -12], ['tcq4', 1e-6], ['tcq4.25', 1e-6], ['tcq2@3inst', 2 ** -12], ['tcq2.25/l16@1mad', 1e-6], ['tcq3/l10', 2 ** -12]] as const) {
  test(`${spelling}: rows are what the codec decodes, to 2^-12 of the largest level, and products have the bits of the plain twin`, async () => {
    const { tensor, decoded, scales } = inFormat(spelling);
    const runs = new Map<string, Run>();
    for (const bits of [8, 16] as const) {
      const [fast, plain] = [await product(lowBitKernels, tensor, 5, bits), await product(plainLowBit, tensor, 5, bits)];
      assert.deepEqual(fast.out, plain.out);
      runs.set(String(bits), fast);
    }
    const { out, arena, matrix, at } = runs.get('16')!;
    assert.equal(matrix.layout, 'trellis');
    const row = new Float32Array(cols);
    for (let r = 0; r < rows; r++) {
      rowOf(arena, matrix, r, row);
      // The largest level of a normal is below 5 of its deviations.
      row.forEach((value, c) => assert.ok(Math.abs(value - decoded[r * cols + c]) <= 5 * bound * scales[r], `${value} where ${decoded[r * cols + c]} belongs`));
      for (let t = 0; t < 5; t++) {
        let [expected, size] = [0, 0];
        for (let c = 0; c < cols; c++) {
          const record = at + (t * 3 + Math.floor(c / 32)) * inputBytes;
          const term = row[c] * new Int16Array(arena.memory.buffer, record, 32)[c % 32] * arena.floats(record + 128, 1)[0];
          expected += term;
          size += Math.abs(term);
        }
        assert.ok(Math.abs(out[t * 28 + r] - expected) <= 2e-6 * size);
      }
    }
  });
}

test('a matrix behind rotations: inputs are turned, results turned back, and little is lost beside floats', async () => {
  const [height, width] = [48, 96];
  const { tensor, decoded } = inFormat('tcq3.25+had', Float32Array.from({ length: height * width }, (_, i) => normal(6, 0, i)), [height, width]);
  const tokens = 5;
  const { out, matrix, x } = await product(lowBitKernels, tensor, tokens, 8);
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
