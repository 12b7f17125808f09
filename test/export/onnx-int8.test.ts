import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as web from 'onnxruntime-web';
import { ortNode } from '../../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import type { Engine, Feeds } from '../../src/engine/session.ts';
import { f32, type Tensor } from '../../src/engine/tensor.ts';
import { exportDynamicInt8 } from '../../src/export/onnx-dynamic.ts';
import { activationValues, exportStaticInt8 } from '../../src/export/onnx-static.ts';
import { openFolder } from '../../src/files/fs-node.ts';
import { onnxBytes, openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { readNpy } from '../../src/observe/data/npy.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';

const engines: readonly Engine[] = [ortNode, ortWeb(web as unknown as OrtWebModule)];
const int8 = parseFormat('int8/channel');
const weightsOf = (graph: Graph) => new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, int8, { name: site.id })]));
const ops = (graph: Graph, op: string): number => graph.nodes.filter((node) => node.op === op).length;

async function run(engine: Engine, graph: Graph, feeds: Feeds): Promise<Tensor> {
  const session = await engine.open({ bytes: await onnxBytes(graph) });
  try {
    return Object.values(await session.run(feeds))[0];
  } finally {
    await session.dispose();
  }
}

/** Integers in [-127, 127], the ends present in each row of `cols`, so that int8 per channel holds them exactly at scale 1. */
function integers(rows: number, cols: number, seed: number): Float32Array {
  const out = new Float32Array(rows * cols);
  for (let i = 0; i < out.length; i++) out[i] = i % cols === 0 ? 127 : ((i * 7919 + seed * 104729) % 255) - 127;
  return out;
}
/** Integers whose extremes are -100 and 155: 8-bit activations at scale 1 and zero point 100. */
function activations(count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (i === 0 ? -100 : i === 1 ? 155 : ((i * 6007) % 256) - 100));
}
const transpose = (values: Float32Array, rows: number, cols: number): Float32Array => values.map((_, i) => values[(i % rows) * cols + Math.floor(i / rows)]);

/** One site of each kind over integers that 8 bits hold, so that the float result is the exact one. */
const exactSites: Readonly<Record<string, () => { graph: Graph; x: Tensor }>> = {
  MatMul: () => {
    const g = new GraphBuilder('matmul', 21);
    g.output(g.op('MatMul', [g.input('x', 'f32', [2, 6]), g.weight(floatTensor('w', [6, 3], transpose(integers(3, 6, 1), 3, 6)))]), 'y', 'f32', [2, 3]);
    return { graph: g.graph(), x: f32([2, 6], activations(12)) };
  },
  'Gemm with transB and a bias': () => {
    const g = new GraphBuilder('gemm', 21);
    const w = g.weight(floatTensor('w', [3, 6], integers(3, 6, 2)));
    g.output(g.op('Gemm', [g.input('x', 'f32', [2, 6]), w, g.floats([1000, -2000, 3], 'b')], { transB: int(1) }), 'y', 'f32', [2, 3]);
    return { graph: g.graph(), x: f32([2, 6], activations(12)) };
  },
  'padded Conv with a bias': () => {
    const g = new GraphBuilder('conv', 21);
    const w = g.weight(floatTensor('w', [4, 2, 3, 3], integers(4, 18, 3)));
    g.output(g.op('Conv', [g.input('x', 'f32', [1, 2, 5, 5]), w, g.floats([5, -700, 0, 31], 'b')], { pads: ints([1, 1, 1, 1]) }), 'y', 'f32', [1, 4, 5, 5]);
    return { graph: g.graph(), x: f32([1, 2, 5, 5], activations(50)) };
  },
  'depthwise Conv': () => {
    const g = new GraphBuilder('depthwise', 21);
    const w = g.weight(floatTensor('w', [4, 1, 3, 3], integers(4, 9, 4)));
    g.output(g.op('Conv', [g.input('x', 'f32', [1, 4, 5, 5]), w], { group: int(4) }), 'y', 'f32', [1, 4, 3, 3]);
    return { graph: g.graph(), x: f32([1, 4, 5, 5], activations(100)) };
  },
  ConvTranspose: () => {
    const g = new GraphBuilder('up', 21);
    const w = g.weight(floatTensor('w', [3, 2, 2, 2], integers(3, 8, 5).map((v, i) => (i < 8 && i % 4 === 0 ? 127 : v))));
    g.output(g.op('ConvTranspose', [g.input('x', 'f32', [1, 3, 3, 3]), w], { strides: ints([2, 2]) }), 'y', 'f32', [1, 2, 6, 6]);
    return { graph: g.graph(), x: f32([1, 3, 3, 3], activations(27)) };
  },
};

for (const [kind, make] of Object.entries(exactSites)) {
  test(`${kind}: integer products of integers are exact in both engines`, async () => {
    const { graph, x } = make();
    const expected = (await run(ortNode, graph, { x })).data as Float32Array;
    let [low, high] = [0, 0];
    for (const y of expected) { low = Math.min(low, y); high = Math.max(high, y); }
    const ranges = new Map([['x', { low: -100, high: 155 }], ['y', { low, high }]]);
    const made = await exportStaticInt8(graph, { weights: weightsOf(graph), ranges });
    const dynamic = await exportDynamicInt8(graph, weightsOf(graph));
    for (const engine of engines) {
      const still = (await run(engine, made.graph, { x })).data as Float32Array;
      // A convolution's result is rounded to 8 bits itself: half a step, and what float32 adds.
      const step = ops(graph, 'Conv') > 0 ? (high - low) / 255 : 0;
      for (let i = 0; i < expected.length; i++) assert.ok(Math.abs(still[i] - expected[i]) <= step * 0.501 + 1e-3, `${engine.name} static ${i}: ${still[i]}, not ${expected[i]}`);
      assert.deepEqual((await run(engine, dynamic.graph, { x })).data, expected, `${engine.name} dynamic`);
    }
  });
}

/** Two convolutions, a residual sum, pooling and a classifier. */
function network(): Graph {
  const g = new GraphBuilder('network', 21);
  const conv = (from: string, name: string, channels: number) =>
    g.op('Conv', [from, g.weight(floatTensor(`${name}.weight`, [4, channels, 3, 3], integers(4, channels * 9, channels).map((v) => v / 400))), g.floats([0.1, -0.2, 0.3, 0], `${name}.bias`)],
      { pads: ints([1, 1, 1, 1]) }, { outputs: [name] });
  const relu = (from: string, name: string) => g.op('Relu', [from], {}, { outputs: [name] });
  const first = relu(conv(g.input('x', 'f32', [1, 2, 6, 6]), 'c1', 2), 'r1');
  const sum = relu(g.op('Add', [conv(first, 'c2', 4), first], {}, { outputs: ['sum'] }), 'r2');
  const flat = g.op('Flatten', [g.op('GlobalAveragePool', [sum], {}, { outputs: ['pool'] })], {}, { outputs: ['flat'] });
  g.output(g.op('Gemm', [flat, g.weight(floatTensor('fc.weight', [3, 4], integers(3, 4, 9)))], { transB: int(1) }), 'y', 'f32', [1, 3]);
  return g.graph();
}

test('values are observed after the clamp that their range stands for, and where integers are read', () => {
  assert.deepEqual(new Set(activationValues(network())), new Set(['x', 'r1', 'c2', 'r2', 'pool', 'flat']));
});

test('static ranges: clamps are folded, moves share their scale, float results stay float', async () => {
  const graph = network();
  const ranges = new Map(activationValues(graph).map((name) => [name, { low: name === 'x' || name === 'c2' ? -1 : 0, high: 2 }]));
  const { graph: made } = await exportStaticInt8(graph, { weights: weightsOf(graph), ranges });
  assert.equal(ops(made, 'Relu'), 0);
  assert.equal(ops(made, 'QuantizeLinear'), 6);
  const grid = (value: string) => made.nodes.find((node) => node.op === 'DequantizeLinear' && node.outputs[0] === value)!.inputs.slice(1);
  assert.deepEqual(grid('flat'), grid('pool'));
  for (const node of made.nodes) {
    // WebGPU refuses int32 codes with a zero point.
    if (node.op === 'DequantizeLinear' && made.weights.get(node.inputs[0])?.type === 'i32') assert.equal(node.inputs.length, 2);
  }
});

test('a bias far above the weights of its channel survives', async () => {
  const g = new GraphBuilder('bias', 21);
  const w = g.weight(floatTensor('w', [2, 1, 1, 1], Float32Array.of(1e-9, 1)));
  g.output(g.op('Conv', [g.input('x', 'f32', [1, 1, 1, 2]), w, g.floats([40, -1], 'b')]), 'y', 'f32', [1, 2, 1, 2]);
  const graph = g.graph();
  const made = await exportStaticInt8(graph, { weights: weightsOf(graph), ranges: new Map([['x', { low: 0, high: 1 }], ['y', { low: -1, high: 40 }]]) });
  const { data } = await run(ortNode, made.graph, { x: f32([1, 1, 1, 2], Float32Array.of(0, 1)) });
  [40, 40, -1, 0].forEach((value, i) => assert.ok(Math.abs((data as Float32Array)[i] - value) <= 41 / 255, `${data[i]} is not ${value}`));
});

test('sites that integer kernels cannot take stay as they are, and are named', async () => {
  const { graph } = exactSites['depthwise Conv']();
  const weights = new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, parseFormat('int4/g32'))]));
  const { notes, graph: made } = await exportStaticInt8(graph, { weights, ranges: new Map([['x', { low: 0, high: 1 }], ['y', { low: 0, high: 1 }]]) });
  assert.deepEqual(notes.map(({ kind, name }) => [kind, name]), [['float', 'w']]);
  assert.equal(ops(made, 'QuantizeLinear'), 0);
  assert.deepEqual((await exportDynamicInt8(graph, weightsOf(graph))).notes.map(({ kind, name }) => [kind, name]), [['float', 'w']]);
});

test('a keyword spotter keeps its accuracy on held-out inputs', async () => {
  const graph = await openOnnx(memorySource('kws-dscnn.onnx', readFileSync('assets/kws-dscnn/kws-dscnn.onnx')));
  const inputs = readNpy(readFileSync('assets/kws-dscnn/inputs.npy')).data as Float32Array;
  const labels = Array.from(readNpy(readFileSync('assets/kws-dscnn/labels.npy')).data as BigInt64Array, Number);
  const batch = (begin: number, end: number) => ({ [graph.inputs[0].name]: f32([end - begin, 1, 49, 10], inputs.slice(begin * 490, end * 490)) });
  const { graph: float, weights, ranges } = await applyRecipe(findRecipe('krishnamoorthi-int8'), graph, {
    engine: ortNode, activationValues, formatOf: () => int8, batches: () => [batch(0, 100), batch(100, 200)],
  });
  const accuracy = async (model: Graph, engine: Engine): Promise<number> => {
    const { data } = await run(engine, model, batch(200, 1000));
    let right = 0;
    for (let i = 0; i < 800; i++) {
      const row = Array.from((data as Float32Array).subarray(i * 12, i * 12 + 12));
      if (row.indexOf(Math.max(...row)) === labels[200 + i]) right++;
    }
    return right / 8;
  };
  const before = await accuracy(graph, ortNode);
  const still = (await exportStaticInt8(float, { weights, ranges })).graph;
  const dynamic = (await exportDynamicInt8(float, weights)).graph;
  for (const [made, engine] of [[still, engines[0]], [still, engines[1]], [dynamic, engines[0]], [dynamic, engines[1]]] as const) {
    const after = await accuracy(made, engine);
    assert.ok(before - after <= 0.5, `${engine.name}: ${before} % became ${after} %`);
  }
});

test('a language model: products in integers, one rounding for those that share an input', async () => {
  const model = await openLanguageModel(await openFolder('assets/host-llama-shakespeare'));
  try {
    const graph = model.graph();
    const { graph: made, notes } = await exportDynamicInt8(graph, weightsOf(graph));
    assert.deepEqual(notes.map(({ kind, name }) => [kind, name]), [['overflow', graph.name]]);
    // Six layers of q, k, v, o, gate, up, down; q, k, v read one value, gate and up another.
    assert.equal(ops(made, 'MatMulInteger'), 42);
    assert.equal(ops(made, 'DynamicQuantizeLinear'), 24);
    const feeds = { input_ids: { type: 'i64', shape: [1, 32], data: BigInt64Array.from({ length: 32 }, (_, i) => BigInt((i * 37) % 1024)) } } as const;
    const [a, b] = [(await run(ortNode, graph, feeds)).data as Float32Array, (await run(ortNode, made, feeds)).data as Float32Array];
    let error = 0, signal = 0;
    for (let i = 0; i < a.length; i++) { error += (a[i] - b[i]) ** 2; signal += a[i] ** 2; }
    // 8 bits on weights and activations leave 1 % of noise.
    assert.ok(Math.sqrt(error / signal) < 0.03, `relative error ${Math.sqrt(error / signal)}`);
  } finally {
    await model.close();
  }
});
