import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { nodeTeam } from '../../src/engine/kernels/lowbit-team-node.ts';
import { fastestQdqBuild, type QdqBuild } from '../../src/engine/kernels/qdq.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { runPlainly } from '../../src/engine/qdq/plain.ts';
import { readQdqNetwork } from '../../src/engine/qdq/read.ts';
import { QdqRunner } from '../../src/engine/qdq/run.ts';
import type { Feeds } from '../../src/engine/session.ts';
import { openOnnx } from '../../src/files/onnx.ts';
import { memorySource } from '../../src/files/source.ts';
import { float, int, ints, string } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { upgradeOpset } from '../../src/graph/upgrade.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { openIntegerModel } from '../../src/runtime/integer-model.ts';
import { A, B, C, everything, QdqBuilder, withRounded } from './qdq.ts';

const builds: readonly QdqBuild[] = fastestQdqBuild() === 'relaxed SIMD' ? ['plain SIMD', 'relaxed SIMD'] : ['plain SIMD'];
const feedsOf = (shape: readonly number[], seed: number, size = 1): Feeds =>
  ({ x: { type: 'f32', shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => normal(seed, 0, i) * size) } });

/** Every rounded activation and output of the kernels is that of the plain twin, in a first run, in the next, and with another batch. */
async function sameBits(graph: Graph, shapes: readonly (readonly number[])[]): Promise<void> {
  const network = await readQdqNetwork(withRounded(graph));
  for (const build of builds) {
    const runner = await QdqRunner.open(network, { build });
    for (const [seed, shape] of [shapes[0], ...shapes].entries()) {
      const [found, plain] = [await runner.run(feedsOf(shape, seed)), await runPlainly(network, feedsOf(shape, seed))];
      for (const [name, tensor] of Object.entries(found)) {
        const judge = plain.get(name)!;
        assert.deepEqual(tensor.shape, judge.shape, name);
        assert.ok('data' in judge);
        assert.deepEqual(tensor.data, Float32Array.from(judge.data), `${name}, ${build}, run ${seed}`);
      }
    }
  }
}

/** The output beside ONNX Runtime's: in steps of the last rounding, how many differ and by how many. */
async function besideOnnxRuntime(graph: Graph, shape: readonly number[], step: number): Promise<{ most: number; share: number }> {
  const session = await openGraph(graph, ortNode);
  const feeds = feedsOf(shape, 7);
  const { y } = await session.run(feeds);
  await session.dispose();
  const own = (await (await QdqRunner.open(await readQdqNetwork(graph))).run(feeds)).y;
  assert.deepEqual(own.shape, y.shape);
  const apart = Array.from(own.data as Float32Array, (value, i) => Math.round(Math.abs(value - (y.data[i] as number)) / step));
  return { most: Math.max(...apart), share: apart.filter((steps) => steps > 0).length / apart.length };
}

const convolutions: readonly { name: string; x: readonly number[]; weight: readonly number[]; attributes?: Parameters<QdqBuilder['conv']>[4]; perOutput?: boolean }[] = [
  { name: 'three channels', x: [2, 3, 9, 11], weight: [6, 3, 3, 3], attributes: { pads: [1, 1, 1, 1] } },
  { name: 'strides and uneven padding', x: [1, 8, 10, 7], weight: [13, 8, 3, 2], attributes: { strides: [2, 3], pads: [0, 1, 2, 1] } },
  { name: 'dilations', x: [1, 5, 12, 12], weight: [9, 5, 3, 3], attributes: { strides: [1, 2], dilations: [2, 3], pads: [2, 3, 2, 3] } },
  { name: 'groups', x: [2, 6, 6, 6], weight: [18, 2, 3, 3], attributes: { group: 3, pads: [1, 1, 1, 1] } },
  { name: 'every channel alone', x: [2, 19, 8, 9], weight: [19, 1, 3, 3], attributes: { group: 19, strides: [2, 1], dilations: [1, 2], pads: [1, 2, 1, 2] } },
  { name: 'every channel alone, an even window', x: [1, 24, 7, 7], weight: [24, 1, 2, 2], attributes: { group: 24 } },
  { name: 'two of every channel', x: [1, 4, 5, 5], weight: [8, 1, 3, 3], attributes: { group: 4, pads: [1, 1, 1, 1] } },
  { name: 'points', x: [3, 33, 5, 5], weight: [17, 33, 1, 1], perOutput: false },
  { name: 'points with strides', x: [1, 16, 7, 5], weight: [8, 16, 1, 1], attributes: { strides: [2, 2] } },
  { name: 'a line', x: [2, 5, 20], weight: [7, 5, 4], attributes: { strides: [3], pads: [2, 1] } },
];

for (const { name, x, weight, attributes, perOutput } of convolutions) {
  test(`a convolution of codes on kernels is that of the plain twin and of ONNX Runtime: ${name}`, async () => {
    for (const type of ['u8', 'i8'] as const) {
      const g = new QdqBuilder(name, type);
      const graph = g.finish(g.round(g.conv(g.input(['batch', ...x.slice(1)], A), A, 3, weight, attributes, perOutput), C), []);
      await sameBits({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, shape: undefined })) }, [x, [4, ...x.slice(1)]]);
      assert.deepEqual(await besideOnnxRuntime({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, shape: undefined })) }, x, C.scale), { most: 0, share: 0 });
    }
  });
}

test('three threads give the bits of one: convolutions of all kinds, matrices, and floats among them', async () => {
  const graphs = convolutions.map(({ name, x, weight, attributes, perOutput }) => {
    const g = new QdqBuilder(name);
    return { shape: x, graph: g.finish(g.round(g.conv(g.input(x, A), A, 3, weight, attributes, perOutput), C), []) };
  });
  for (const { graph, shape } of [...graphs, { graph: everything(), shape: [2, 3, 16, 16] }]) {
    const network = await readQdqNetwork(withRounded({ ...graph, outputs: graph.outputs.map((output) => ({ ...output, shape: undefined })) }));
    for (const build of builds) {
      const [alone, three] = [await QdqRunner.open(network, { build }), await QdqRunner.open(network, { build, team: nodeTeam(3), worthSharing: 0 })];
      for (const seed of [1, 2]) assert.deepEqual(await three.run(feedsOf(shape, seed)), await alone.run(feedsOf(shape, seed)), `${graph.name}, ${build}`);
      three.dispose();
    }
  }
});

test('operators between convolutions, and floats among them, give the bits of the plain twin', async () => {
  await sameBits(everything(), [[1, 3, 16, 16], [3, 3, 16, 16]]);
});

test('beside ONNX Runtime on the same file, a whole network is within one step of its first rounding', async () => {
  const { most } = await besideOnnxRuntime(everything(), [2, 3, 16, 16], 0.02);
  assert.ok(most <= 1, `${most} steps`);
});

test('other moves that a graph may hold: transposed rows, a matrix of many rows, elements gathered and turned', async () => {
  const g = new QdqBuilder('moves');
  const x = g.input(['batch', 6, 8], A);
  const rows = g.round(g.g.op('MatMul', [x, g.weight(1, [8, 12], true, 1).name]), C);
  const turned = g.g.op('Transpose', [rows], { perm: ints([0, 2, 1]) });
  const some = g.g.op('Gather', [turned, g.g.ints([0, 5, 5, 11])], { axis: int(1) });
  const line = g.g.op('Squeeze', [g.g.op('Unsqueeze', [some, g.g.ints([0])]), g.g.ints([0])]);
  const y = g.round(g.g.op('LeakyRelu', [line], { alpha: float(0.1) }), B);
  const graph = g.finish(y, ['batch', 4, 6]);
  await sameBits(graph, [[2, 6, 8], [1, 6, 8]]);
  assert.ok((await besideOnnxRuntime(graph, [2, 6, 8], B.scale)).most <= 1);
});

test('a file of ONNX Runtime\'s own quantizer gives its scores', async () => {
  const bytes = new Uint8Array(await readFile(new URL('../fixtures/onnxruntime/kws-dscnn-qdq.onnx', import.meta.url)));
  const graph = await upgradeOpset(await openOnnx(memorySource('qdq.onnx', bytes)));
  const [{ name }] = graph.inputs;
  const { x } = feedsOf([4, 1, 49, 10], 5, 20);
  const session = await ortNode.open({ bytes });
  const theirs = Object.values(await session.run({ [name]: x }))[0];
  await session.dispose();
  const [own] = Object.values(await (await openIntegerModel(bytes)).run({ [name]: x }));
  assert.deepEqual(own.shape, theirs.shape);
  const step = Math.max(...(theirs.data as Float32Array).map(Math.abs)) / 127;
  const apart = Array.from(own.data as Float32Array, (value, i) => Math.abs(value - (theirs.data[i] as number)));
  assert.ok(Math.max(...apart) <= step, `${Math.max(...apart)} apart, a step is ${step}`);
});

test('what it cannot run is refused by the operator, in one line', async () => {
  const between = (make: (g: QdqBuilder, x: string) => string): Promise<unknown> => {
    const g = new QdqBuilder('refused');
    return readQdqNetwork(g.finish(make(g, g.round(g.conv(g.input([1, 3, 4, 4], A), A, 1, [4, 3, 1, 1]), C)), [1, 4, 4, 4]));
  };
  await assert.rejects(between((g, x) => g.g.op('Unheard', [x])), /^FewbitError: node Unheard: Unheard is not run here$/);
  await assert.rejects(between((g, x) => g.round(x, { scale: 0, zero: 0 })), /node QuantizeLinear_2: a scale of 0 is none/);
  await assert.rejects(between((g, x) => g.g.op('QuantizeLinear', [x, g.constant('f32', [], [1]), g.constant('u8', [], [0])])), /an output of codes is not run here/);
  await assert.rejects(between((g, x) => g.round(g.g.op('DequantizeLinear', [g.g.op('QuantizeLinear', [x, g.constant('f32', [4], [1, 1, 1, 1]), g.constant('u8', [4], [0, 0, 0, 0])], { axis: int(1) }), g.constant('f32', [4], [1, 1, 1, 1])], { axis: int(1) }), A)), /activations have one scale and one zero point here/);
  await assert.rejects(between((g, x) => g.g.op('DequantizeLinear', [g.g.op('QuantizeLinear', [x, g.constant('f32', [], [1]), g.constant('u16', [], [0])]), g.constant('f32', [], [1]), g.constant('u16', [], [0])])), /activations in u16 are not run here/);
});

test('hostile geometry, sums and sizes end in one error each', async () => {
  const run = async (graph: Graph, shape: readonly number[]): Promise<unknown> => (await QdqRunner.open(await readQdqNetwork(graph))).run(feedsOf(shape, 1));
  const conv = (weight: readonly number[], attributes: Parameters<QdqBuilder['conv']>[4]): Graph => {
    const g = new QdqBuilder('hostile');
    return g.finish(g.round(g.conv(g.input([1, 4, 6, 6], A), A, 1, weight, attributes), C), [1, weight[0], 1, 1]);
  };
  const at = [1, 4, 6, 6];
  await assert.rejects(run(conv([4, 4, 3, 3], { strides: [0, 1] }), at), /node Conv: strides \[0, 1\] do not fit an input \[1, 4, 6, 6\]/);
  await assert.rejects(run(conv([4, 4, 3, 3], { pads: [-1, 0, 0, 0] }), at), /pads \[-1, 0, 0, 0\] do not fit/);
  await assert.rejects(run(conv([4, 4, 3, 3], { dilations: [9, 9] }), at), /a window \[3, 3\] does not fit into an input/);
  await assert.rejects(run(conv([4, 3, 3, 3], {}), at), /a weight \[4, 3, 3, 3\] in 1 groups over an input \[1, 4, 6, 6\]/);
  await assert.rejects(run(conv([5, 2, 3, 3], { group: 2 }), at), /a weight \[5, 2, 3, 3\] in 2 groups/);
  await assert.rejects(run(conv([4, 4, 1, 1], { pads: [2 ** 14, 2 ** 14, 2 ** 14, 2 ** 14] }), at), /elements, more than 67108864 are not run here/);
  await assert.rejects(run(conv([4, 4, 3, 3], {}), [1, 4, 6, 7]), /input x: its shape is \[1, 4, 6, 6\], fed as \[1, 4, 6, 7\]/);
  const loud = new QdqBuilder('loud');
  const sums = loud.g.op('MatMul', [loud.input([1, 200_000], A), loud.g.op('DequantizeLinear', [loud.constant('i8', [200_000, 1], Array.from({ length: 200_000 }, () => -128)), loud.constant('f32', [], [1])])]);
  await assert.rejects(run(loud.finish(sums, [1, 1]), [1, 200_000]), /sums of output 0 do not fit in 32 bits/);
  const wide = new QdqBuilder('wide');
  const grown = wide.g.op('Resize', [wide.input([1, 4, 6, 6], A), '', wide.constant('f32', [4], [1, 1, 100_000, 100_000])], { mode: string('nearest') });
  await assert.rejects(run(wide.finish(wide.round(grown, C), []), at), /elements, more than 67108864 are not run here/);
  const tiled = new QdqBuilder('tiled');
  const many = tiled.g.op('Tile', [tiled.input([1, 4, 6, 6], A), tiled.g.ints([1, 1, 100_000, 100_000])]);
  await assert.rejects(run(tiled.finish(tiled.g.op('Relu', [many]), [1, 4, 'h', 'w']), at), /elements, more than 67108864 are not run here|its result does not fit into memory/);
  await assert.rejects((await QdqRunner.open(await readQdqNetwork(conv([4, 4, 3, 3], {})))).run({}), /input x: it was not fed/);
});
