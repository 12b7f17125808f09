/** Half precision beside data: what overflows is found in the session, named, and computed in float32. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as web from 'onnxruntime-web';
import { ortNode } from '../../src/engine/ort-node.ts';
import { ortWeb, type OrtWebModule } from '../../src/engine/ort-web.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { exportHalf } from '../../src/export/onnx-half.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { observeExtremes } from '../../src/observe/extremes.ts';

/** [batch, 2] through a product that reaches 90 000, one that reaches 40 000, and back to small numbers. */
function overflowing(): Graph {
  const g = new GraphBuilder('overflowing', 21);
  const x = g.input('x', 'f32', ['batch', 2]);
  const large = g.op('MatMul', [x, g.weight(floatTensor('up', [2, 2], Float32Array.of(300, 0, 0, 100)))], {}, { name: 'large' });
  const moved = g.op('Reshape', [large, g.ints([0, 2], 'same')], {}, { name: 'moved' });
  const near = g.op('Mul', [moved, g.floats(4 / 9, 'less')], {}, { name: 'near' });
  const small = g.op('Mul', [near, g.floats(1e-4, 'down')], {}, { name: 'small' });
  g.output(g.op('Sigmoid', [small], {}, { name: 'out' }), 'y', 'f32', ['batch', 2]);
  return g.graph();
}

const x = f32([2, 2], Float32Array.of(300, 10, -250, 5));
/** 300 · 300 · 4/9 · 1e-4 = 4, and so on. */
const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
const expected = [300 * 300, 10 * 100, -250 * 300, 5 * 100].map((v) => sigmoid((v * 4e-4) / 9));

async function run(engine: typeof ortNode, graph: Graph): Promise<Float32Array> {
  const session = await engine.open({ bytes: await onnxBytes(graph) });
  const { y } = await session.run({ x });
  await session.dispose();
  return y.data as Float32Array;
}

test('extremes are the largest sizes over all batches, of inputs and of results', async () => {
  const graph = overflowing();
  const extremes = await observeExtremes(graph, ortNode, [{ x: f32([1, 2], Float32Array.of(1, 10)) }, { x }]);
  const of = (name: string): number => extremes.get(graph.nodes.find((node) => node.name === name)!.outputs[0])!;
  assert.equal(extremes.get('x'), 300);
  assert.equal(of('large'), 90_000);
  assert.ok(Math.abs(of('near') - 40_000) < 0.01);
  assert.ok(Math.abs(of('small') - 4) < 1e-6);
});

test('values without elements have no extreme', async () => {
  const g = new GraphBuilder('cache', 21);
  const past = g.input('past', 'f32', ['n', 2]);
  const kept = g.op('Relu', [past], {}, { name: 'kept' });
  g.output(g.op('Concat', [kept, g.weight(floatTensor('now', [1, 2], Float32Array.of(3, -7)))], { axis: int(0) }), 'y', 'f32', ['total', 2]);
  const extremes = await observeExtremes(g.graph(), ortNode, [{ past: f32([0, 2], new Float32Array(0)) }]);
  assert.deepEqual([...extremes.values()], [7]);
});

test('values beyond half floats, and close to their end, are named and stay in float32', async () => {
  const graph = overflowing();
  const extremes = await observeExtremes(graph, ortNode, [{ x }]);
  const { graph: half, notes } = await exportHalf(graph, { extremes });
  const [large, moved, near, small] = ['large', 'moved', 'near', 'small'].map((name) => graph.nodes.find((node) => node.name === name)!.outputs[0]);
  assert.deepEqual(notes.map(({ text }) => text), [
    `${large}: reaches 9.00e+4, beyond the 65504 that half floats end at: stays in float32`,
    `${moved}: reaches 9.00e+4, beyond the 65504 that half floats end at: stays in float32`,
    `${near}: reaches 4.00e+4, close to the 65504 that half floats end at: stays in float32`,
  ]);
  for (const name of ['large', 'moved', 'near', 'small']) assert.ok([large, moved, near, small].includes(half.nodes.find((node) => node.name === name)!.outputs[0]), `${name} is as it was`);
  assert.ok(!half.nodes.find((node) => node.name === 'out')!.outputs.includes('y'), 'what is small again is half');
  for (const engine of [ortNode, ortWeb(web as unknown as OrtWebModule)]) {
    const got = await run(engine, half);
    got.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-3, `${engine.name}: ${value}, expected ${expected[i]}`));
  }
});

test('many overflowing values are counted, the largest named', async () => {
  const g = new GraphBuilder('chain', 21);
  let value = g.input('x', 'f32', [1]);
  for (let i = 0; i < 8; i++) value = g.op('Relu', [value], {}, { name: `step${i}` });
  g.output(value, 'y', 'f32', [1]);
  const extremes = new Map(g.graph().nodes.map(({ outputs }, i) => [outputs[0], 1e5 * (i + 1)]));
  const { notes } = await exportHalf(g.graph(), { extremes });
  assert.equal(notes.length, 6);
  assert.match(notes[5].text, /and 2 more reach 3\.00e\+5 at most/);
});

test('angles and the inside of a norm stay in float32', async () => {
  const g = new GraphBuilder('norm', 21);
  const x = g.input('x', 'f32', ['batch', 4]);
  const mean = g.op('ReduceMean', [g.op('Pow', [x, g.floats(2, 'two')], {}, { name: 'square' }), g.ints([-1], 'axes')], { keepdims: int(1) }, { name: 'mean' });
  const root = g.op('Sqrt', [g.op('Add', [mean, g.floats(1e-6, 'epsilon')], {}, { name: 'add' })], {}, { name: 'root' });
  const angle = g.op('Mul', [g.op('Cast', [g.input('position', 'i64', [1])], { to: int(1) }), g.floats([1, 0.1, 0.01, 0.001], 'frequencies')], {}, { name: 'angle' });
  const turned = g.op('Mul', [g.op('Div', [x, root]), g.op('Cos', [angle], {}, { name: 'cos' })], {}, { name: 'turned' });
  g.output(g.op('Transpose', [turned], { perm: ints([1, 0]) }), 'y', 'f32', [4, 'batch']);
  const graph = g.graph();
  const { graph: half } = await exportHalf(graph);
  const outputs = (of: Graph, name: string) => of.nodes.find((node) => node.name === name)!.outputs;
  for (const name of ['square', 'mean', 'add', 'root', 'angle', 'cos']) assert.deepEqual(outputs(half, name), outputs(graph, name), name);
  assert.notDeepEqual(outputs(half, 'turned'), outputs(graph, 'turned'));
  for (const name of ['epsilon', 'frequencies']) assert.equal(half.weights.get(name)!.type, 'f32');
});
