import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as web from 'onnxruntime-web';
import { interpret, type Value64 } from '../../../src/engine/interpreter/interpret.ts';
import { ortWeb, type OrtWebModule } from '../../../src/engine/ort-web.ts';
import { f32 } from '../../../src/engine/tensor.ts';
import { onnxBytes } from '../../../src/files/onnx.ts';
import { floatTensor } from '../../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../../src/graph/build.ts';
import { lower } from '../../../src/graph/composite.ts';
import { gradient } from '../../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { trainBatchNorm } from '../../../src/graph/train-batchnorm.ts';
import { assertClose, differences, directional, gradients } from './check.ts';
import { Random } from './random.ts';

const random = (shape: readonly number[], seed: number): Value64 =>
  ({ type: 'f32', shape, data: Float64Array.from(new Random(seed).floats(shape.reduce((a, b) => a * b, 1))) });
const total = (g: GraphBuilder, value: string): string => g.output(g.op('ReduceSum', [value], { keepdims: int(0) }), 'loss');
const only = (graph: Graph, names: readonly string[]): Graph => ({ ...graph, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) });

test('contributions of every use of a value are summed', async () => {
  const g = new GraphBuilder('uses', 21);
  g.input('x', 'f32', [3]);
  const squared = g.op('Mul', ['x', 'x']);
  total(g, g.op('Sum', [squared, g.op('Mul', [squared, 'x']), g.op('Exp', ['x'])]));
  const x = [0.5, -1, 2];
  const { exact } = await gradients(g.graph(), 'loss', ['x'], { x: { type: 'f32', shape: [3], data: Float64Array.from(x) } });
  // d/dx (x² + x³ + eˣ) = 2x + 3x² + eˣ
  assertClose(exact.get('x')!.data, x.map((v) => 2 * v + 3 * v * v + Math.exp(v)), 1e-12, 'dx');
});

test('gradients reach inputs, weights and inner values, and the outputs of the graph stay', async () => {
  const g = new GraphBuilder('values', 21);
  g.input('x', 'f32', [2, 3]);
  const w = g.weight(floatTensor('w', [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6)));
  const inner = g.op('MatMul', ['x', w]);
  total(g, g.op('Mul', [inner, inner]));
  const made = await gradient(g.graph(), 'loss', ['x', 'w', inner]);
  assert.deepEqual(made.graph.outputs.map(({ name }) => name), ['loss']);
  const results = await interpret(only(made.graph, [...made.gradients.values()]), { x: { type: 'f32', shape: [2, 3], data: Float64Array.of(1, 0, 0, 0, 1, 0) } });
  // inner is the first two rows of w, its gradient twice that.
  assert.deepEqual([...results[made.gradients.get(inner)!].data], [2, 4, 6, 8]);
  assert.deepEqual([...results[made.gradients.get('w')!].data], [2, 4, 6, 8, 0, 0]);
  assert.deepEqual([...results[made.gradients.get('x')!].data], [2 * (1 + 4), 2 * (3 + 8), 2 * (5 + 12), 2 * (3 + 8), 2 * (9 + 16), 2 * (15 + 24)]);
});

test('norms of zero vectors pass zero on', async () => {
  const g = new GraphBuilder('norms', 21);
  g.input('x', 'f32', [2, 2]);
  total(g, g.op('Add', [g.op('ReduceL2', ['x', g.ints([1])]), g.op('LpNormalization', ['x'])]));
  const { exact } = await gradients(g.graph(), 'loss', ['x'], { x: { type: 'f32', shape: [2, 2], data: Float64Array.of(0, 0, 3, 4) } });
  // Row two: two columns of the norm 5 give 2x / 5, its direction (0.6, 0.8) summed gives (1 − 0.6 · 1.4, 1 − 0.8 · 1.4) / 5.
  assertClose(exact.get('x')!.data, [0, 0, 1.2 + (1 - 0.84) / 5, 1.6 + (1 - 1.12) / 5], 1e-12, 'dx');
});

test('a gradient handed in takes the place of ones', async () => {
  const g = new GraphBuilder('seed', 21);
  for (const name of ['x', 'arriving']) g.input(name, 'f32', [2, 2]);
  g.output(g.op('Exp', ['x']), 'y');
  const made = await gradient(g.graph(), 'y', ['x'], { seed: 'arriving' });
  const feeds = { x: random([2, 2], 1), arriving: random([2, 2], 2) };
  const [found] = Object.values(await interpret(only(made.graph, [made.gradients.get('x')!]), feeds));
  assertClose(found.data, feeds.x.data.map((x, i) => Math.exp(x) * feeds.arriving.data[i]), 1e-12, 'dx');
});

test('what cannot be differentiated is named', async () => {
  const g = new GraphBuilder('errors', 21);
  g.input('x', 'f32', [2, 2]);
  g.input('unused', 'f32', [2]);
  g.input('batch', 'f32', ['N', 2]);
  total(g, g.op('Det', ['x'], {}, { name: 'volume' }));
  g.output(g.op('Exp', ['x']), 'matrix');
  g.output(g.op('ReduceSum', [g.op('Exp', ['batch'])], { keepdims: int(0) }), 'symbolic');
  g.output(g.op('ReduceSum', [g.op('ScatterElements', ['x', g.ints([0]), 'x'], { reduction: { kind: 'string', value: 'max' } })], { keepdims: int(0) }), 'largest');
  const half = g.op('Cast', ['x'], { to: int(10) });
  g.output(g.op('ReduceSum', [g.op('Cast', [half], { to: int(1) })], { keepdims: int(0) }), 'rounded');
  g.output(g.op('ReduceSum', [g.op('Cast', [g.op('Mul', [half, half], {}, { name: 'square' })], { to: int(1) })], { keepdims: int(0) }), 'narrow');
  const graph = g.graph();
  await gradient(graph, 'rounded', ['x']);
  await assert.rejects(gradient(graph, 'narrow', ['x']), /square computes with Cast_out in f16/);
  await assert.rejects(gradient(graph, 'loss', ['x']), /no gradient rule for Det \(volume\)/);
  await assert.rejects(gradient(graph, 'loss', ['unused']), /does not depend on unused/);
  await assert.rejects(gradient(graph, 'loss', ['nowhere']), /no value is named nowhere/);
  await assert.rejects(gradient(graph, 'matrix', ['x']), /the loss matrix is not one number/);
  await assert.rejects(gradient(graph, 'symbolic', ['batch']), /shape of .* is not known/);
  await assert.rejects(gradient(graph, 'largest', ['x']), /no gradient rule for ScatterElements with reduction max/);
});

/** Two layers with a softmax cross-entropy. */
function perceptron(): { graph: Graph; feeds: Record<string, Value64> } {
  const g = new GraphBuilder('perceptron', 21);
  const shapes = { x: [4, 3], w1: [3, 5], b1: [5], w2: [5, 3], labels: [4, 3] };
  for (const [name, shape] of Object.entries(shapes)) g.input(name, 'f32', shape);
  const hidden = g.op('Tanh', [g.op('Add', [g.op('MatMul', ['x', 'w1']), 'b1'])]);
  total(g, g.op('Neg', [g.op('Mul', ['labels', g.op('LogSoftmax', [g.op('MatMul', [hidden, 'w2'])])])]));
  return { graph: g.graph(), feeds: Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, random(shape, i)])) };
}

/** Convolutions of every kind with BatchNormalization over the batch, pools and a residual. */
function convolutional(): { graph: Graph; feeds: Record<string, Value64> } {
  const g = new GraphBuilder('convolutional', 21);
  const shapes = { x: [3, 2, 6, 6], w1: [4, 2, 3, 3], scale: [4], bias: [4], w2: [4, 1, 3, 3], w3: [4, 4, 3, 3], w4: [4, 3] };
  for (const [name, shape] of Object.entries(shapes)) g.input(name, 'f32', shape);
  const running = ['mean', 'variance'].map((name) => g.weight(floatTensor(name, [4], Float32Array.of(1, 1, 1, 1))));
  const first = g.op('Conv', ['x', 'w1'], { pads: ints([1, 1, 1, 1]) });
  const [normal] = g.op('BatchNormalization', [first, 'scale', 'bias', ...running], { training_mode: int(1) }, { outputs: 3 });
  const active = g.op('Softplus', [normal]);
  const depthwise = g.op('Conv', [active, 'w2'], { pads: ints([1, 1, 1, 1]), group: int(4) });
  const pooled = g.op('MaxPool', [g.op('Add', [active, depthwise])], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) });
  const strided = g.op('Tanh', [g.op('Conv', [pooled, 'w3'], { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) })]);
  const logits = g.op('MatMul', [g.op('Flatten', [g.op('GlobalAveragePool', [strided])]), 'w4']);
  total(g, g.op('Mul', [logits, g.op('LogSoftmax', [logits])]));
  return { graph: g.graph(), feeds: Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, random(shape, i + 10)])) };
}

const models = { 'a perceptron': perceptron, 'a convolutional network': convolutional };

for (const [name, make] of Object.entries(models)) {
  test(`gradients of ${name} to inputs and weights`, async () => {
    const { graph, feeds } = make();
    const wrt = Object.keys(feeds).filter((input) => input !== 'labels');
    const { exact, engine } = await gradients(graph, 'loss', wrt, feeds);
    for (const value of wrt) {
      assertClose(exact.get(value)!.data, await differences(graph, 'loss', value, feeds), 1e-5, value);
      assertClose(engine!.get(value)!.data, exact.get(value)!.data, 1e-4, `engine, ${value}`);
    }
  });

  test(`Hessian-vector products of ${name}`, async () => {
    const { graph, feeds } = make();
    const weights = Object.keys(feeds).filter((input) => input.startsWith('w'));
    const twice = only(await directional(graph, 'loss', weights, 4), ['product']);
    const { exact, engine } = await gradients(twice, 'product', weights, feeds);
    for (const value of weights) {
      assertClose(exact.get(value)!.data, await differences(twice, 'product', value, feeds), 1e-5, value);
      assertClose(engine!.get(value)!.data, exact.get(value)!.data, 2e-4, `engine, ${value}`);
    }
  });
}

test('the WebAssembly engine of browsers runs gradient graphs', async () => {
  const { graph, feeds } = convolutional();
  const made = await gradient(graph, 'loss', Object.keys(feeds));
  const lowered = lower(only(made.graph, [...made.gradients.values()]));
  const session = await ortWeb(web as unknown as OrtWebModule).open({ bytes: await onnxBytes(lowered) });
  const found = await session.run(Object.fromEntries(Object.entries(feeds).map(([name, { shape, data }]) => [name, f32(shape, Float32Array.from(data))])));
  await session.dispose();
  const exact = await interpret(lowered, feeds);
  for (const value of made.gradients.values()) assertClose(found[value].data, exact[value].data, 1e-4, value);
});

test('BatchNormalization in training has batch statistics, and running ones as values', async () => {
  const g = new GraphBuilder('batchnorm', 21);
  g.input('x', 'f32', [5, 2, 3]);
  const [scale, bias, mean, variance] = [[2, 0.5], [0.1, -1], [0.3, 0.4], [1.5, 0.7]].map((values, i) => g.weight(floatTensor(`p${i}`, [2], Float32Array.from(values))));
  g.output(g.op('BatchNormalization', ['x', scale, bias, mean, variance], {}, { name: 'norm' }), 'y');
  const { graph, running } = await trainBatchNorm(g.graph(), { chosen: () => true, momentum: 0.75 });
  assert.deepEqual(running.map(({ node, mean: from }) => [node, from]), [['norm', mean]]);
  const x = random([5, 2, 3], 8);
  const found = await interpret(lower(only(graph, ['y', running[0].nextMean, running[0].nextVariance])), { x });
  for (const channel of [0, 1]) {
    const own = [...x.data].filter((_, i) => Math.floor(i / 3) % 2 === channel);
    const average = own.reduce((a, b) => a + b) / 15;
    const spread = own.reduce((a, b) => a + (b - average) ** 2, 0) / 15;
    assert.ok(Math.abs(found[running[0].nextMean].data[channel] - (0.75 * Math.fround([0.3, 0.4][channel]) + 0.25 * average)) < 1e-7);
    assert.ok(Math.abs(found[running[0].nextVariance].data[channel] - (0.75 * Math.fround([1.5, 0.7][channel]) + 0.25 * spread)) < 1e-7);
    const y = [...found.y.data].filter((_, i) => Math.floor(i / 3) % 2 === channel);
    assertClose(y, own.map((v) => ((v - average) / Math.sqrt(spread + Math.fround(1e-5))) * [2, 0.5][channel] + Math.fround([0.1, -1][channel])), 1e-6, 'y');
  }
});
