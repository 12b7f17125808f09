/** Matrices of codes in groups of columns: what kernels see of them, products with the bits of the plain twins, and whole models. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { lowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { nodeTeam } from '../../src/engine/kernels/lowbit-team-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { readFloats } from '../../src/files/values.ts';
import { codesOf } from '../../src/formats/coded.ts';
import { nf4Table } from '../../src/formats/normal-float.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { ScaledFormat } from '../../src/formats/scaled.ts';
import { run } from '../../src/jobs/run-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import { integerLevels } from '../../src/runtime/coded-matrix.ts';
import { LlamaDecoder, type DecoderOptions } from '../../src/runtime/llama-decoder.ts';
import { packMatrix, rowOf } from '../../src/runtime/packed-matrix.ts';
import { inCodes } from '../../src/runtime/text-model.ts';
import { floatTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { distance } from './outputs.ts';
import { assertSums, packedProduct } from './packed-product.ts';

const location = fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url));
const source = await openSource(location);
const language = source.language!;
after(() => source.close());

const [rows, cols] = [13, 320];
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(9, 0, i) * (1 + (i % 7)));
/** Formats, layouts that hold them, and how far a value may be from what the codec decodes, in scales. */
const formats = {
  'nf4/b64': ['packed', 2 ** -12], 'nf3/b64': ['packed', 2 ** -12], 'lloydmax4/channel': ['packed', 2 ** -9], 'e2m1/g32': ['packed', 1e-6], 'nvfp4': ['packed', 1e-6], 'mxfp4': ['packed', 1e-6],
  'e3m0/g64': ['packed', 1e-5], 'int2/g32': ['packed', 1e-6], 'int3/g64': ['packed', 1e-6], 'int4/g16': ['packed', 1e-6], 'ternary/channel': ['packed', 1e-6],
  'int4/g64': ['four', 1e-6], 'uint4/g64': ['four-minima', 1e-5], 'uint2/g32': ['four-minima', 1e-5], 'int8/channel': ['eight', 1e-4], 'int6/g32': ['eight', 1e-5], 'uint8/g64': ['eight-minima', 1e-4], 'int8/g16': ['eight-halves', 1e-4],
} as const;
const coded = (format: string): TensorRef => inCodes(floatTensor('w', [rows, cols], values), parseFormat(format));

for (const [format, [layout, bound]] of Object.entries(formats)) {
  test(`${format}: values of rows, and products with the bits of the plain twin, with inputs of 8 and of 16 bits`, async () => {
    const codec = parseFormat(format);
    const quantized = codec.encode(values, rows, cols);
    const decoded = codec.decode(quantized);
    const largest = quantized.scales.reduce((most, scale) => Math.max(most, scale * (quantized.tensorScale ?? 1)), 0);
    for (const bits of [8, 16] as const) {
      for (const tokens of [1, 2]) assert.deepEqual((await packedProduct(lowBitKernels, coded(format), tokens, bits)).out, (await packedProduct(plainLowBit, coded(format), tokens, bits)).out);
      const [fast, plain] = [await packedProduct(lowBitKernels, coded(format), 6, bits), await packedProduct(plainLowBit, coded(format), 6, bits)];
      assert.deepEqual(fast.out, plain.out);
      const row = new Float32Array(cols);
      for (const { matrix, arena } of [fast, plain]) {
        assert.equal(matrix.layout, layout);
        for (let r = 0; r < rows; r++) {
          rowOf(arena, matrix, r, row);
          row.forEach((value, c) => assert.ok(Math.abs(value - decoded[r * cols + c]) <= bound * largest, `${value} where ${decoded[r * cols + c]} belongs`));
        }
      }
      for (let r = 0; r < rows; r++) {
        rowOf(fast.arena, fast.matrix, r, row);
        assertSums(fast, r, row, 1e-5);
      }
    }
  });
}

test('levels become the smallest integers that stand for them, or those of at most 2047 that are nearest', () => {
  const doubled = integerLevels([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]);
  assert.deepEqual([...doubled.values], [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]);
  assert.equal(doubled.step, 0.5);
  const nf4 = integerLevels(nf4Table);
  nf4Table.forEach((level, i) => assert.ok(Math.abs(nf4.values[i] * nf4.step - level) < 2 ** -12));
  assert.equal(nf4.values[7], 0);
});

test('groups that no layout holds leave a matrix float', async () => {
  const matrix = await packMatrix(coded('uint4/g20'), new Arena());
  assert.equal(matrix.layout, 'float');
});

const tokens = Array.from({ length: 45 }, (_, i) => (i * 37 + 11) % 300);
const open = (tensors: ReadonlyMap<string, TensorRef>, options: DecoderOptions = {}): Promise<LlamaDecoder> => LlamaDecoder.open(language.config as LlamaConfig, tensors, { context: 64, ...options });

for (const format of ['nf4/b64', 'e2m1/g32']) {
  test(`a model in ${format}: the logits that ONNX Runtime gives of its decoded weights, within what rounding inputs does, and with threads or the plain kernels the same bits`, async () => {
    const codec = parseFormat(format);
    const [codes, floats] = [new Map(language.tensors), new Map(language.tensors)];
    for (const [name, tensor] of language.tensors) {
      if (tensor.shape.length !== 2) continue;
      const [r, c] = tensor.shape;
      const quantized = codec.encode(await readFloats(tensor), r, c);
      codes.set(name, { ...tensor, coded: { read: async () => codesOf(codec as ScaledFormat, quantized) } });
      floats.set(name, floatTensor(name, tensor.shape, codec.decode(quantized)));
    }
    const session = await ortNode.open({ bytes: await onnxBytes(language.graph({ tensors: floats })) });
    const expected = (await session.run({ input_ids: i64([1, tokens.length], tokens) })).logits.data as Float32Array;
    await session.dispose();
    const found = (await open(codes)).feed(tokens, { all: true });
    assert.ok(distance(found, expected) < 0.02, `relative distance ${distance(found, expected)}`);
    const nearer = distance((await open(codes, { inputs: 'float' })).feed(tokens, { all: true }), expected);
    assert.ok(nearer < (format === 'nf4/b64' ? 2e-3 : 1e-4), `relative distance ${nearer} with float inputs`);
    const shared = await open(codes, { team: nodeTeam(2) });
    assert.deepEqual(shared.feed(tokens, { all: true }), found);
    shared.dispose();
    assert.deepEqual((await open(codes, { kernels: plainLowBit })).feed(tokens.slice(0, 1)), found.subarray(0, language.config.vocabSize));
  });
}

test('float weights become NF4 while they load, which takes half of what 8 bits take', async () => {
  const texts = await Promise.all(['nf4', 'fp4', 'q8_0'].map((weights) => run({ model: location, prompt: 'ROMEO:', maxTokens: 8, context: 64, weights, threads: 1 })));
  assert.ok(texts.every(({ text }) => text.length > 0));
  assert.ok(texts[0].bytes.memory < texts[2].bytes.memory);
  await assert.rejects(run({ model: location, prompt: 'x', weights: 'kmeans4' }), { message: /float weights cannot be loaded as kmeans4 \(known: q4_0, .*nf4/ });
});
