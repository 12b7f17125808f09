import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as web from 'onnxruntime-web';
import { ortNode } from '../../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import type { Engine } from '../../src/engine/session.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { exportHalf } from '../../src/export/onnx-half.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites, withMatrix } from '../../src/graph/linear.ts';
import { readFloats } from '../../src/graph/values.ts';
import { onnxMatrix } from '../../src/models/onnx-matrices.ts';
import { normal } from '../../src/numeric/random.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';

const values = (count: number, stream: number, scale = 0.1): Float32Array => Float32Array.from({ length: count }, (_, i) => scale * normal(7, stream, i));

/** MatMul with a bias, then Gemm: [batch, 96] → [batch, 40] → [batch, 24]. */
function perceptron(): Graph {
  const g = new GraphBuilder('perceptron', 21);
  const x = g.input('x', 'f32', ['batch', 96]);
  const h = g.op('Relu', [g.op('Add', [g.op('MatMul', [x, g.weight(floatTensor('w1', [96, 40], values(96 * 40, 1)))]), g.weight(floatTensor('b1', [40], values(40, 2)))])]);
  g.output(g.op('Gemm', [h, g.weight(floatTensor('w2', [24, 40], values(24 * 40, 3))), g.weight(floatTensor('b2', [24], values(24, 4)))], { transB: int(1) }), 'y', 'f32', ['batch', 24]);
  return g.graph();
}

/** Conv, depthwise Conv and ConvTranspose: [batch, 8, 6, 6] → [batch, 4, 12, 12]. */
function convolutions(): Graph {
  const g = new GraphBuilder('convolutions', 21);
  const x = g.input('x', 'f32', ['batch', 8, 6, 6]);
  const a = g.op('Conv', [x, g.weight(floatTensor('conv', [16, 8, 3, 3], values(16 * 72, 1))), g.weight(floatTensor('bias', [16], values(16, 2)))], { pads: ints([1, 1, 1, 1]) });
  const b = g.op('Conv', [a, g.weight(floatTensor('depthwise', [16, 1, 3, 3], values(16 * 9, 3)))], { pads: ints([1, 1, 1, 1]), group: int(16) });
  g.output(g.op('ConvTranspose', [b, g.weight(floatTensor('up', [16, 2, 2, 2], values(16 * 8, 4)))], { strides: ints([2, 2]), group: int(2) }), 'y', 'f32', ['batch', 4, 12, 12]);
  return g.graph();
}

async function run(graph: Graph, x: Tensor, engine: Engine = ortNode): Promise<Float32Array> {
  const session = await engine.open({ bytes: await onnxBytes(graph) });
  const { y } = await session.run({ x });
  await session.dispose();
  return y.data as Float32Array;
}

/** Largest difference relative to the largest value, and what a format itself costs. */
async function compare(graph: Graph, x: Tensor, spelling: string): Promise<{ written: number; cost: number; ops: Set<string> }> {
  const format = parseFormat(spelling);
  const sites = linearSites(graph);
  const weights = new Map(sites.map((site) => [site.id, quantizedLazily(site, format)]));
  let expected = graph;
  for (const site of sites) expected = withMatrix(expected, site, format.decode(await weights.get(site.id)!.read(0, site.rows)));
  const { graph: exported } = await exportWeightOnly(graph, weights, { accuracyLevel: 0 });
  const [float, decoded, written] = [await run(graph, x), await run(expected, x), await run(exported, x)];
  const size = decoded.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  const difference = (a: Float32Array, b: Float32Array) => a.reduce((max, v, i) => Math.max(max, Math.abs(v - b[i])), 0) / size;
  return { written: difference(written, decoded), cost: difference(decoded, float), ops: new Set(exported.nodes.map(({ op }) => op)) };
}

const vector: Tensor = { type: 'f32', shape: [3, 96], data: values(3 * 96, 9, 1) };
const picture: Tensor = { type: 'f32', shape: [2, 8, 6, 6], data: values(2 * 8 * 36, 9, 1) };

for (const [spelling, form] of [
  ['int4/g32', 'MatMulNBits'], ['uint4/g32', 'MatMulNBits'], ['int4/channel', 'MatMulNBits'], ['int8/channel', 'MatMulNBits'], ['uint2/g16', 'MatMulNBits'], ['uint8/g32', 'MatMulNBits'],
  ['int4/g24', 'DequantizeLinear'], ['int3/g32', 'Gather'], ['uint3/channel', 'Gather'], ['uint5/g32', 'Gather'], ['int6/g32', 'Gather'], ['uint7/channel', 'Gather'],
  ['mxfp4', 'Gather'], ['mxfp6_e2m3', 'Gather'], ['mxint8', 'Gather'], ['nvfp4', 'Gather'], ['e4m3/tensor', 'Gather'], ['kmeans4/tensor', 'Gather'],
  ['ternary/g32', 'MatMulNBits'], ['ternary/tensor', 'DequantizeLinear'], ['binary/channel', 'Gather'], ['nf4/b8', 'Gather'],
  // Blocks that cross rows: 96 and 40 values a row.
  ['nf4/b64', 'Gather'], ['nf3/b64@bf16+nested8x256', 'Gather'], ['nf2/b36@bf16+nested8x256', 'Gather'],
] as const) {
  test(`${spelling} matrices compute what their codes decode to (${form})`, async () => {
    const { written, cost, ops } = await compare(perceptron(), vector, spelling);
    assert.ok(ops.has(form), `operators: ${[...ops].join(', ')}`);
    assert.ok(written < 2e-5, `differs by ${written} of the largest output`);
    assert.ok(cost > 1e-4, 'the format is not float');
  });
}

for (const spelling of ['e2m1/g64', 'uint3/g64', 'int3/g25', 'nvfp4']) {
  test(`a short last group of ${spelling} takes no room in the file, in both engines, and is read back`, async () => {
    const graph = perceptron();
    const format = parseFormat(spelling);
    const sites = linearSites(graph);
    const weights = new Map(sites.map((site) => [site.id, quantizedLazily(site, format)]));
    const { written } = await compare(graph, vector, spelling);
    assert.ok(written < 2e-5, `differs by ${written} of the largest output`);
    const { graph: low } = await exportWeightOnly(graph, weights);
    const [node, browser] = [await run(low, vector), await run(low, vector, ortWeb(web as unknown as OrtWebModule))];
    assert.ok(node.every((value, i) => Math.abs(value - browser[i]) < 1e-5));
    for (const { id, rows, cols } of sites) {
      assert.equal(low.weights.get(`${id}_codes`)!.byteLength, rows * Math.ceil(cols / 8) * Math.ceil(format.bits));
      const read = await readFloats(onnxMatrix(low, id, [rows, cols], format, undefined)!);
      const decoded = format.decode(await weights.get(id)!.read(0, rows));
      assert.ok(read.every((value, i) => Math.abs(value - decoded[i]) < 1e-6), `${id} is read back`);
    }
  });
}

for (const spelling of ['int4/channel', 'int8/channel', 'uint4/channel', 'int2/channel', 'int3/channel', 'int8/tensor', 'kmeans4/tensor', 'int4/g8', 'uint4/g8']) {
  test(`${spelling} convolutions compute what their codes decode to`, async () => {
    const { written, cost, ops } = await compare(convolutions(), picture, spelling);
    assert.ok(written < 2e-5, `differs by ${written} of the largest output`);
    assert.ok(cost > 1e-4, 'the format is not float');
    // Rows of 9 values in groups of 8 are left to the operator that knows groups which do not fill a row.
    assert.equal(ops.has('DequantizeLinear'), spelling.endsWith('g8'), 'ONNX Runtime folds everything but DequantizeLinear');
  });
}

test('weights that are unpacked say when, and the web runtime unpacks them too', async () => {
  const graph = convolutions();
  const weights = new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, parseFormat('int4/channel'))]));
  const { graph: low, notes } = await exportWeightOnly(graph, weights);
  assert.deepEqual(notes.map(({ text }) => text), ['int4/channel: 3 weights are unpacked to float when the model is loaded: the file is smaller, memory and speed are those of float']);
  const [node, browser] = [await run(low, picture), await run(low, picture, ortWeb(web as unknown as OrtWebModule))];
  assert.ok(node.every((value, i) => Math.abs(value - browser[i]) < 1e-5));
  const half = await run((await exportHalf(low)).graph, picture);
  assert.ok(node.every((value, i) => Math.abs(value - half[i]) < 2e-2));
  const { notes: matrices } = await exportWeightOnly(perceptron(), new Map(linearSites(perceptron()).map((site) => [site.id, quantizedLazily(site, parseFormat('int4/g24'))])));
  assert.match(matrices[0].text, /^int4\/g24: 2 weights are unpacked to float at each call/);
});

test('half precision keeps inputs and outputs, and its results to three digits', async () => {
  for (const [graph, x] of [[perceptron(), vector], [convolutions(), picture]] as const) {
    const { graph: half } = await exportHalf(graph);
    assert.equal(half.inputs[0].type, 'f32');
    assert.ok([...half.weights.values()].every(({ type }) => type === 'f16'));
    const [a, b] = [await run(graph, x), await run(half, x)];
    const size = a.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const worst = a.reduce((max, v, i) => Math.max(max, Math.abs(v - b[i])), 0) / size;
    assert.ok(worst > 0 && worst < 2e-3, `differs by ${worst}`);
  }
});

test('low-bit weights and half computation go together', async () => {
  const graph = perceptron();
  const format = parseFormat('int4/g32');
  const { graph: low } = await exportWeightOnly(graph, new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, format)])));
  const { graph: half } = await exportHalf(low);
  const [a, b] = [await run(low, vector), await run(half, vector)];
  const size = a.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  assert.ok(a.every((v, i) => Math.abs(v - b[i]) < 2e-2 * size));
});
