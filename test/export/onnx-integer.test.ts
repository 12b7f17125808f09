import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executeIntegers } from '../../src/engine/integer/execute.ts';
import type { IntegerNetwork } from '../../src/engine/integer/network.ts';
import { readIntegerNetwork } from '../../src/engine/integer/read.ts';
import { integerKernels } from '../../src/engine/kernels/integer.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, type Tensor } from '../../src/engine/tensor.ts';
import { exportIntegerOnly, integerValues, type IntegerOptions } from '../../src/export/onnx-integer.ts';
import { onnxBytes, openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { withOutputs } from '../../src/graph/outputs.ts';
import { normal } from '../../src/numeric/random.ts';
import { observeRanges } from '../../src/observe/ranges.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { quantizedLazily } from '../../src/round/quantized-matrix.ts';
import { openIntegerModel } from '../../src/runtime/integer-model.ts';
import { floatTensor, memoryTensor } from '../../src/tensor-ref.ts';

const random = (seed: number, shape: readonly number[], scale: number, shift = 0): Float32Array =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => normal(seed, 0, i) * scale + shift);

/** Everything that has an integer form: grouped, strided and padded convolutions, a residual, an option-A shortcut, joined branches, pools. */
function everything(): Graph {
  const g = new GraphBuilder('everything', 21);
  let seed = 0;
  const conv = (x: string, shape: readonly number[], attributes: Record<string, ReturnType<typeof ints>>): string => {
    seed++;
    return g.op('Conv', [x, g.weight(floatTensor(`w${seed}`, shape, random(seed, shape, 0.4))), g.weight(floatTensor(`b${seed}`, [shape[0]], random(100 + seed, [shape[0]], 0.2)))], { kernel_shape: ints(shape.slice(2)), ...attributes });
  };
  const x = g.input('x', 'f32', ['batch', 3, 12, 12]);
  const stem = g.op('MaxPool', [g.op('Relu', [conv(x, [8, 3, 3, 3], { pads: ints([1, 1, 1, 1]) })])], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) });
  const six = [g.floats(0), g.floats(6)];
  const inner = g.op('Clip', [conv(stem, [8, 1, 3, 3], { group: int(8), pads: ints([1, 1, 1, 1]) }), ...six]);
  const sum = g.op('Relu', [g.op('Add', [conv(inner, [8, 8, 1, 1], {}), stem])]);
  const down = conv(sum, [12, 8, 3, 3], { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) });
  const cut = g.op('Slice', [sum, g.ints([0, 0]), g.ints([99, 99]), g.ints([2, 3]), g.ints([2, 2])]);
  const wide = g.op('Pad', [cut, g.ints([0, 2, 0, 0, 0, 2, 0, 0]), g.floats(0)]);
  const signed = g.op('Add', [down, wide]);
  const mean = g.op('AveragePool', [signed], { kernel_shape: ints([2, 2]), pads: ints([0, 0, 1, 1]), count_include_pad: int(1) });
  const joined = g.op('Concat', [mean, conv(signed, [4, 12, 1, 1], {}), g.op('Relu', [conv(signed, [1, 12, 1, 1], {})])], { axis: int(1) });
  const flat = g.op('Flatten', [g.op('GlobalAveragePool', [g.op('Relu', [conv(joined, [16, 17, 3, 3], { dilations: ints([1, 1]), pads: ints([1, 1, 1, 1]) })])])]);
  const hidden = g.op('Relu', [g.op('Gemm', [flat, g.weight(floatTensor('w', [10, 16], random(50, [10, 16], 0.5))), g.weight(floatTensor('b', [10], random(51, [10], 0.2)))], { transB: int(1) })]);
  const scores = g.op('Add', [g.op('MatMul', [hidden, g.weight(floatTensor('v', [10, 5], random(52, [10, 5], 0.5)))]), g.weight(floatTensor('c', [5], random(53, [5], 0.2)))]);
  g.output(g.op('Softmax', [scores], { axis: int(-1) }), 'y', 'f32', ['batch', 5]);
  return g.graph();
}

const feeds = { x: f32([6, 3, 12, 12], random(7, [6, 3, 12, 12], 1)) };

async function exported(graph: Graph, bits: number, options: Partial<IntegerOptions> = {}): Promise<Awaited<ReturnType<typeof exportIntegerOnly>>> {
  const ranges = await observeRanges(graph, ortNode, [feeds], integerValues(graph));
  const weights = new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, parseFormat(`int${bits}/channel`))]));
  return exportIntegerOnly(graph, { weights, ranges, ...options });
}

/** Values that differ between the executor and ONNX Runtime, by name. */
async function differing({ graph, network }: { graph: Graph; network: IntegerNetwork }): Promise<Record<string, number>> {
  const ours = await executeIntegers(network, feeds);
  assert.deepEqual(await executeIntegers(network, feeds, integerKernels()), ours);
  const names = [...network.values.keys()];
  const session = await openGraph(await withOutputs(graph, names), ortNode);
  const theirs: Record<string, Tensor> = await session.run(feeds, names);
  await session.dispose();
  const found: Record<string, number> = {};
  for (const name of names) {
    const { shape, data } = ours.get(name)!;
    assert.deepEqual(theirs[name].shape, shape, name);
    const count = data.filter((code, i) => code !== Number(theirs[name].data[i])).length;
    if (count > 0) found[name] = count;
  }
  return found;
}

test('the exported graph computes the integers of the executor, whatever its products are written as', async () => {
  for (const bits of [8, 4]) {
    for (const products of ['proved', 'integer'] as const) {
      for (const activationBits of [8, 4]) {
        assert.deepEqual(await differing(await exported(everything(), bits, { products, activationBits: () => activationBits })), {}, `W${bits}A${activationBits}, ${products}`);
      }
    }
  }
});

test('scores computed from 8-bit integers lie 30 dB above their error', async () => {
  const graph = everything();
  const [scores] = graph.nodes.at(-1)!.inputs;
  const run = async (one: Graph): Promise<Float32Array> => {
    const session = await openGraph(await withOutputs(one, [scores]), ortNode);
    const found = await session.run(feeds, [scores]);
    await session.dispose();
    return found[scores].data as Float32Array;
  };
  const [float, low] = [await run(graph), await run((await exported(graph, 8)).graph)];
  const squared = (values: Iterable<number>): number => [...values].reduce((sum, value) => sum + value ** 2, 0);
  const ratio = 10 * Math.log10(squared(float) / squared(float.map((value, i) => value - low[i])));
  assert.ok(ratio > 30, String(ratio));
});

test('what is added or averaged keeps 16 bits, what is multiplied 8', async () => {
  const { network, notes } = await exported(everything(), 8);
  const of = (op: string) => network.ops.filter((one) => one.op === op);
  for (const one of network.ops) if (one.op === 'products') assert.ok(network.values.get(one.input)!.high <= 255);
  for (const one of network.ops) if (one.op === 'sum') assert.ok(network.values.get(one.input)!.high > 255);
  assert.deepEqual([of('products').length, of('add').length, of('sum').length, of('dequantize').length], [9, 2, 2, 1]);
  assert.match(notes[0].text, /9 of 9 products as float operators/);
  assert.equal(network.tail.length, 1);
});

test('a channel of nothing but a bias keeps it', async () => {
  const g = new GraphBuilder('dead', 21);
  const x = g.input('x', 'f32', ['batch', 3, 12, 12]);
  const w = floatTensor('w', [2, 3, 1, 1], Float32Array.of(0, 0, 0, 0.5, -0.25, 1));
  const first = g.op('Relu', [g.op('Conv', [x, g.weight(w), g.weight(floatTensor('b', [2], Float32Array.of(3, 0)))])]);
  g.output(g.op('Conv', [first, g.weight(floatTensor('v', [1, 2, 1, 1], Float32Array.of(1, 0)))]), 'y', 'f32', ['batch', 1, 12, 12]);
  const made = await exported(g.graph(), 8);
  assert.deepEqual(await differing(made), {});
  const session = await openGraph(made.graph, ortNode);
  const { y } = await session.run(feeds);
  await session.dispose();
  for (const value of y.data as Float32Array) assert.ok(Math.abs(value - 3) < 0.02, String(value));
});

test('operators without an integer form, asymmetric weights and layers left float are refused', async () => {
  const between = (op: string): Graph => {
    const g = new GraphBuilder(op, 21);
    const x = g.input('x', 'f32', ['batch', 3, 12, 12]);
    const w = g.weight(floatTensor('w', [3, 3, 1, 1], random(1, [3, 3, 1, 1], 1)));
    g.output(g.op('Conv', [g.op(op, [g.op('Conv', [x, w])]), g.weight(floatTensor('v', [3, 3, 1, 1], random(2, [3, 3, 1, 1], 1)))]), 'y', 'f32', ['batch', 3, 12, 12]);
    return g.graph();
  };
  await assert.rejects(exported(between('Sigmoid'), 8), /node Sigmoid: Sigmoid has no integer-only form here/);
  const graph = between('Relu');
  const weights = new Map(linearSites(graph).map((site) => [site.id, quantizedLazily(site, parseFormat('uint8/channel'))]));
  await assert.rejects(exportIntegerOnly(graph, { weights, ranges: new Map() }), /weight w: zero points have no place here/);
  const [first, last] = linearSites(graph);
  const one = (site: typeof first) => new Map([[site.id, quantizedLazily(site, parseFormat('int8/channel'))]]);
  await assert.rejects(exportIntegerOnly(graph, { weights: one(last), ranges: new Map() }), /weight w: it stays float, and integer layers come after it/);
  await assert.rejects(exportIntegerOnly(graph, { weights: one(first), ranges: new Map() }), /no range was observed for x/);
});

test('a written file is read back as the network it holds, and runs without an engine', async () => {
  for (const products of ['proved', 'integer'] as const) {
    for (const bits of [8, 4]) {
      const { graph, network } = await exported(everything(), bits, { products });
      const bytes = await onnxBytes(graph);
      const found = await readIntegerNetwork(await openOnnx(memorySource('written.onnx', bytes)));
      const [ours, theirs] = [await executeIntegers(found, feeds, integerKernels()), await executeIntegers(network, feeds)];
      for (const name of network.values.keys()) if (found.values.has(name)) assert.deepEqual(ours.get(name), theirs.get(name), name);
      const model = await openIntegerModel(bytes);
      const session = await openGraph(graph, ortNode);
      const { y } = await session.run(feeds);
      await session.dispose();
      const own = (await model.run(feeds)).y;
      assert.deepEqual(own.shape, y.shape);
      for (let i = 0; i < y.data.length; i++) assert.ok(Math.abs((own.data[i] as number) - (y.data[i] as number)) < 1e-6);
    }
  }
});

test('files of another kind are refused by the node that is out of place', async () => {
  await assert.rejects(readIntegerNetwork(everything()), /everything has no layer that computes in integers/);
  const { graph } = await exported(everything(), 8);
  const changed = (op: string, change: (node: Graph['nodes'][number]) => Graph['nodes'][number]): Graph => ({ ...graph, nodes: graph.nodes.map((node) => (node.op === op ? change(node) : node)) });
  await assert.rejects(readIntegerNetwork(changed('Round', (node) => ({ ...node, op: 'Floor' }))), /Round was expected after it/);
  const wrong = graph.nodes.find(({ op, outputs }) => op === 'Div' && outputs[0].endsWith('_divided') && graph.nodes.some((other) => other.op === 'Add' && other.outputs[0] === graph.nodes.find((each) => each.outputs[0] === outputs[0])!.inputs[0]))!;
  const divisor = graph.weights.get(wrong.inputs[1])!;
  const odd = memoryTensor(divisor.name, 'i64', divisor.shape, new Uint8Array(BigInt64Array.from({ length: divisor.shape.reduce((a, b) => a * b, 1) }, () => 3n).buffer));
  await assert.rejects(readIntegerNetwork({ ...graph, weights: new Map([...graph.weights, [divisor.name, odd]]) }), /its rescaling is not that of a dyadic number/);
  const first = [...graph.weights.values()].find(({ name }) => name.endsWith('_quantized'))!;
  const wide = memoryTensor(first.name, 'i32', first.shape, new Uint8Array(Int32Array.from({ length: first.shape.reduce((a, b) => a * b, 1) }, () => 1000).buffer));
  await assert.rejects(readIntegerNetwork({ ...graph, weights: new Map([...graph.weights, [first.name, wide]]) }), /its weights are no integers of 8 bits/);
});
