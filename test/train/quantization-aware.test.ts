import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { exportFakeQuantize } from '../../src/export/onnx-fake-quantize.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import { extend } from '../../src/graph/extend.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { withOutputs } from '../../src/graph/outputs.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { appendFakeQuantize } from '../../src/train/composites/fake-quantize.ts';
import { composites } from '../../src/train/composites/index.ts';
import { insertFakeQuantize } from '../../src/train/quantization-aware.ts';
import { affineCodes, simulateActivations } from '../../src/train/simulate.ts';
import { observeSummaries } from '../../src/train/summaries.ts';

async function run(graph: Graph, feeds: Record<string, ReturnType<typeof f32>>): Promise<Record<string, number[]>> {
  const session = await openGraph(graph, ortNode);
  const results = await session.run(feeds);
  await session.dispose();
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, Array.from(data as Float32Array)]));
}

/** x̂ of a vector and its gradients under dy, by the engine. */
async function quantized(x: readonly number[], scale: number, zero: number | undefined, low: number, high: number, dy: readonly number[]) {
  const g = new GraphBuilder('q', 21);
  g.input('x', 'f32', [x.length]);
  g.input('s', 'f32', []);
  g.input('z', 'f32', []);
  g.input('dy', 'f32', [x.length]);
  const { graph, result } = extend(g.graph(), (tape) => appendFakeQuantize(tape, zero === undefined ? ['x', 's'] : ['x', 's', 'z'], { low, high }));
  const known: Graph = { ...graph, values: new Map([[result, { name: result, type: 'f32', shape: [x.length] }]]) };
  const wrt = zero === undefined ? ['x', 's'] : ['x', 's', 'z'];
  const { graph: whole, gradients } = await gradient(known, result, wrt, { composites, seed: 'dy' });
  const out = await run(lower(await withOutputs(whole, [result, ...gradients.values()]), composites), { x: f32([x.length], Float32Array.from(x)), s: f32([], Float32Array.of(scale)), z: f32([], Float32Array.of(zero ?? 0)), dy: f32([x.length], Float32Array.from(dy)) });
  return { y: out[result], dx: out[gradients.get('x')!], ds: out[gradients.get('s')!][0], dz: zero === undefined ? undefined : out[gradients.get('z')!][0] };
}

const close = (found: readonly number[], expected: readonly number[]) =>
  expected.forEach((value, i) => assert.ok(Math.abs(found[i] - value) < 1e-5, `entry ${i}: ${found[i]}, expected ${value}`));

test('learned steps: rounding error inside of the range, the bound outside', async () => {
  // x / s: -10, -2.4, 0.5, 1.3, 9; codes -4 … 3; half goes to even.
  const { y, dx, ds } = await quantized([-5, -1.2, 0.25, 0.65, 4.5], 0.5, undefined, -4, 3, [1, 1, 1, 1, 2]);
  close(y, [-2, -1, 0, 0.5, 1.5]);
  close(dx, [0, 1, 1, 1, 0]);
  close([ds], [-4 + (-2 + 2.4) + (0 - 0.5) + (1 - 1.3) + 2 * 3]);
});

test('the affine quantizer of the whitepaper: exact zero, a mask with both ends inside', async () => {
  const { scale, zero } = affineCodes({ low: -1, high: 3 }, 8);
  close([scale, zero], [4 / 255, 64]);
  const { y, dx } = await quantized([0, -1, 3, 10, -2], scale, zero, 0, 255, [1, 1, 1, 1, 1]);
  close(y, [0, -1.0039216, 2.9960784, 2.9960784, -1.0039216]);
  close(dx, [1, 1, 0, 0, 0]);
  assert.deepEqual(affineCodes({ low: 2, high: 6 }, 8), { scale: 6 / 255, zero: 0, codes: 255 });
  assert.deepEqual(affineCodes({ low: 0, high: 0 }, 4), { scale: 1, zero: 0, codes: 15 });
});

test('a learned zero point moves what is clipped', async () => {
  const { dz } = await quantized([-5, 0.3, 5], 0.5, 2, 0, 7, [1, 1, 1]);
  // Clipped values are (bound − z)·s: each loses s where z grows.
  close([dz!], [-0.5 - 0.5]);
});

function network(): Graph {
  const g = new GraphBuilder('net', 21);
  const values = (shape: readonly number[], stream: number) => floatTensor(`w${stream}`, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => 0.3 * normal(1, stream, i)));
  const x = g.input('x', 'f32', ['n', 3, 6, 6]);
  const h = g.op('Relu', [g.op('Conv', [x, g.weight(values([4, 3, 3, 3], 1))], { pads: ints([1, 1, 1, 1]) })]);
  const a = g.op('Conv', [h, g.weight(values([5, 4, 1, 1], 2))]);
  const b = g.op('Conv', [h, g.weight(values([5, 4, 1, 1], 3))]);
  g.output(g.op('MatMul', [g.op('Flatten', [g.op('Add', [a, b])]), g.weight(values([180, 2], 4))]), 'y', 'f32', ['n', 2]);
  return g.graph();
}
const input = f32([2, 3, 6, 6], Float32Array.from({ length: 216 }, (_, i) => normal(2, 0, i)));

test('what is exported computes what was trained: int4 or int8 weights, activations cut to their codes', async () => {
  const graph = network();
  const summaries = await observeSummaries(graph, ortNode, [{ x: input }], graph.nodes.flatMap(({ outputs }) => outputs).concat('x'));
  for (const bits of [2, 3, 4, 8]) {
    const { graph: aware, scales } = await insertFakeQuantize(graph, () => ({ weight: bits, activation: bits }), (site) => summaries.get(site.input)!);
    // Two convolutions read one rectified value: one step for both.
    assert.equal(scales.length, 4 + 3);
    const made = await exportFakeQuantize(aware);
    assert.deepEqual([...made.weights.values()].filter(({ type }) => type === (bits <= 4 ? 'i4' : 'i8')).length, bits <= 4 ? 4 : 4 + 1 + 1);
    const [a, b] = [(await run(lower(aware, composites), { x: input })).y, (await run(made, { x: input })).y];
    a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-4, `${bits} bits: ${value} and ${b[i]}`));
  }
});

test('simulated activations are those of the affine codes', async () => {
  const g = new GraphBuilder('pass', 21);
  g.input('x', 'f32', [4]);
  g.output(g.op('Identity', ['x']), 'y', 'f32', [4]);
  const { y } = await run(simulateActivations(g.graph(), new Map([['x', { low: -1, high: 1 }]]), 4), { x: f32([4], Float32Array.of(-2, 0.3, 1, 0)) });
  // Zero lies at code 8: the lowest code is -8 steps, the highest 7.
  close(y, [-16 / 15, 4 / 15, 14 / 15, 0]);
});
