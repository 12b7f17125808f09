import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ort from 'onnxruntime-node';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import { nestedNormalFloat, normalFloatTable } from '../../src/formats/nested-normal-float.ts';
import { nf4Table } from '../../src/formats/normal-float.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { scaleTypes } from '../../src/formats/scale-type.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const rounded = (table: readonly number[]) => table.map((x) => Number(x.toFixed(6)));

test('tables of 2 and 3 bits are those of the paper\'s code, and 4 bits those of bitsandbytes', () => {
  assert.deepEqual(rounded(normalFloatTable(2)), [-1, 0, 0.337915, 1]);
  assert.deepEqual(rounded(normalFloatTable(3)), [-1, -0.478629, -0.217142, 0, 0.16093, 0.337915, 0.562617, 1]);
  assert.equal(normalFloatTable(4), nf4Table);
  const eight = normalFloatTable(8);
  assert.equal(eight.length, 256);
  assert.ok(eight.every((x, i) => i === 0 || x > eight[i - 1]));
  assert.deepEqual([eight[0], eight[127], eight[255]], [-1, 0, 1]);
});

test('scales are coded as worked out by hand: offset 1, largest 8, codes 0, 1, 2, 3', () => {
  const format = nestedNormalFloat(4, 2, { bits: 2, block: 4, type: scaleTypes.f32 });
  const { scales, doubleQuantized } = format.encode(Float32Array.of(1, 0, -3, 1, 5, 0, 2, 9), 1, 8);
  assert.deepEqual([...doubleQuantized!.codes], [0, 1, 2, 3]);
  assert.deepEqual([...doubleQuantized!.scales], [8]);
  assert.equal(doubleQuantized!.offset, 1);
  assert.deepEqual([...scales], [1, Math.fround(Math.fround(8 / 3) + 1), Math.fround(Math.fround(16 / 3) + 1), 9]);
});

test('values are coded with the scale that is decoded, the first of a tie the lower', () => {
  const format = nestedNormalFloat(2, 2, { bits: 2, block: 4, type: scaleTypes.f32 });
  const values = Float32Array.of(1, 0.16, -3, 1, 5, 0, 2, 9);
  const { codes, scales } = format.encode(values, 1, 8);
  const table = [-1, 0, 0.33791524171829224, 1];
  values.forEach((x, i) => {
    const distances = table.map((level) => Math.abs(x / scales[i >> 1] - level));
    assert.equal(codes[i], distances.indexOf(Math.min(...distances)));
  });
});

test('equal scales and zeros are no division by zero', () => {
  const format = parseFormat('nf3/b4+nested4x4');
  assert.deepEqual([...format.decode(format.encode(Float32Array.from({ length: 16 }, (_, i) => (i % 4 === 0 ? 2 : 0)), 2, 8))], Array.from({ length: 16 }, (_, i) => (i % 4 === 0 ? 2 : 0)));
  assert.ok(format.decode(format.encode(new Float32Array(16), 2, 8)).every((x) => x === 0));
});

test('bits per weight are the paper\'s, and 32 for the offset of a matrix', () => {
  const rows: [string, number][] = [
    ['nf4/b64+nested8x256', 4.126953125], ['nf3/b64+nested8x256', 3.126953125], ['nf3/b64@f16+nested3x256', 3.0478515625], ['nf2/b64@f16+nested4x64', 2.06640625],
  ];
  for (const [name, bits] of rows) {
    assert.equal(parseFormat(name).name, name);
    assert.equal(parseFormat(name).bitsPerWeight(1024, 1024), bits + 32 / 1024 ** 2, name);
  }
});

test('ONNX Runtime computes the scales and weights that the codec decodes, and the file holds their codes', async () => {
  const [inputs, outputs] = [64, 24];
  const g = new GraphBuilder('one', 21);
  const x = g.input('x', 'f32', ['n', inputs]);
  g.output(g.op('MatMul', [x, g.weight(floatTensor('w', [inputs, outputs], Float32Array.from({ length: inputs * outputs }, (_, i) => normal(4, 0, i) * (1 + (i % 7)))))]), 'y', 'f32', ['n', outputs]);
  const graph = g.graph();
  const [site] = linearSites(graph);
  const identity = new ort.Tensor('float32', Float32Array.from({ length: inputs * inputs }, (_, i) => Number(i % (inputs + 1) === 0)), [inputs, inputs]);
  for (const name of ['nf3/b32@bf16+nested8x16', 'nf2/b16@f16+nested3x7', 'nf4/b64+nested4x64', 'nf3/b32']) {
    const format = parseFormat(name);
    const matrix = quantizedLazily(site, format, { name: site.id });
    const decoded = format.decode(await matrix.read(0, outputs));
    const { graph: exported } = await exportWeightOnly(graph, new Map([[site.id, matrix]]));
    const session = await ort.InferenceSession.create(await onnxBytes(exported), { logSeverityLevel: 4 });
    const y = (await session.run({ x: identity })).y.data as Float32Array;
    for (let o = 0; o < outputs; o++) for (let i = 0; i < inputs; i++) assert.equal(y[i * outputs + o] + 0, decoded[o * inputs + i] + 0, name);
    await session.release();
  }
});
