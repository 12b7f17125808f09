import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { interpret } from '../../../src/engine/interpreter/interpret.ts';
import { openOnnx } from '../../../src/files/onnx.ts';
import { memorySource } from '../../../src/files/source.ts';
import { float32Tensor, GraphBuilder } from '../../../src/graph/build.ts';
import { upgradeOpset } from '../../../src/graph/upgrade.ts';
import { readNpy } from '../../../src/observe/data/npy.ts';
import { agree, close, f32, i64, random, toValue } from './against-ort.ts';

const file = (path: string) => readFile(new URL(`../../../${path}`, import.meta.url)).then((bytes) => new Uint8Array(bytes));
const model = async (path: string) => upgradeOpset(await openOnnx(memorySource(path, await file(path))));

test('the keyword network gives the answers of ONNX Runtime', async () => {
  const images = await toValue(readNpy(await file('assets/kws-dscnn/inputs.npy')));
  const input = { type: images.type, shape: [2, 1, 49, 10], data: images.data.slice(0, 2 * 490) };
  const results = await agree(await model('assets/kws-dscnn/kws-dscnn.onnx'), { input });
  assert.equal(Object.keys(results).length, 1);
});

test('a network of operator set 8 is understood after its upgrade', async () => {
  await agree(await model('test/fixtures/mnist.onnx'), { Input3: random([1, 1, 28, 28], 0, 255) });
});

test('floats are doubles from end to end', async () => {
  const g = new GraphBuilder('thirds');
  const x = g.input('x', 'f32', [1]);
  g.output(g.op('Sub', [g.op('Add', [x, g.floats(1)]), g.floats(1)]), 'y');
  const { y } = await interpret(g.graph(), { x: { type: 'f32', shape: [1], data: Float64Array.of(1e-12) } });
  assert.ok(Math.abs(y.data[0] - 1e-12) < 1e-15);
});

test('inputs are checked by name and type, and initializers are their defaults', async () => {
  const g = new GraphBuilder('inputs');
  g.output(g.op('Neg', [g.input('x', 'f32', [2])]), 'y');
  const graph = g.graph();
  await assert.rejects(interpret(graph, {}), /input x was not fed/);
  await assert.rejects(interpret(graph, { x: i64(1, 2) }), /input x is f32, fed as i64/);
  const weights = new Map([['x', float32Tensor('x', [3, 4])]]);
  const { y } = await interpret({ ...graph, weights }, {});
  close(y, f32(-3, -4), 0, 'y');
});

test('one value may be used twice and be an output as well', async () => {
  const g = new GraphBuilder('shared');
  const half = g.op('Sqrt', [g.input('x', 'f32', [3])]);
  g.output(half, 'half');
  g.output(g.op('Mul', [half, half]), 'whole');
  await agree(g.graph(), { x: random([3], 1, 2) });
});
