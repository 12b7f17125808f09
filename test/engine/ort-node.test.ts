import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { openGraph } from '../../src/observe/taps.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { makeNode } from '../../src/graph/rewrite.ts';

// A folder of its own: other tests use the common one at the same time.
process.env.TMPDIR = mkdtempSync(join(tmpdir(), 'fewbit-engine-'));
after(() => rmSync(process.env.TMPDIR!, { recursive: true }));

/** y = x·W with W [size, size], W[i][j] = (i + 2j) mod 7. */
const product = (size: number): Graph => ({
  name: 'product', nodes: [makeNode('MatMul', ['x', 'W'], ['y'])], opset: new Map([['', 21]]), metadata: new Map(), values: new Map(),
  inputs: [{ name: 'x', type: 'f32', shape: [1, size] }], outputs: [{ name: 'y', type: 'f32', shape: [1, size] }],
  weights: new Map([['W', floatTensor('W', [size, size], Float32Array.from({ length: size * size }, (_, k) => (Math.floor(k / size) + 2 * (k % size)) % 7))]]),
});

test('a graph that went through a file gives the same outputs, and its file is gone afterwards', async () => {
  const graph = product(300);
  const session = await ortNode.openGraph!(graph);
  const inMemory = await ortNode.open({ bytes: await onnxBytes(graph) });
  const feeds = { x: { type: 'f32' as const, shape: [1, 300], data: Float32Array.from({ length: 300 }, (_, i) => i % 3) } };
  const [{ y }, { y: expected }] = [await session.run(feeds), await inMemory.run(feeds)];
  assert.deepEqual(y, expected);
  const sum = Array.from({ length: 300 }, (_, i) => (i % 3) * (i % 7)).reduce((a, b) => a + b, 0);
  assert.equal((y.data as Float32Array)[0], sum);
  await session.dispose();
  await inMemory.dispose();
  assert.deepEqual(readdirSync(process.env.TMPDIR!).filter((name) => name.startsWith('fewbit-')), []);
});

test('a graph that cannot be opened leaves no file', async () => {
  await assert.rejects(ortNode.openGraph!({ ...product(4), nodes: [makeNode('NoSuchOperator', ['x', 'W'], ['y'])] }));
  assert.deepEqual(readdirSync(process.env.TMPDIR!).filter((name) => name.startsWith('fewbit-')), []);
});

test('large graphs are opened the way the engine has for them', async () => {
  const opened: string[] = [];
  const engine = { name: 'spy', open: async () => { opened.push('memory'); throw new Error('not here'); }, openGraph: async () => { opened.push('file'); throw new Error('not here'); } };
  await assert.rejects(openGraph(product(16), engine));
  await assert.rejects(openGraph({ ...product(16), weights: new Map([['W', { ...floatTensor('W', [1], new Float32Array(1)), byteLength: 2 ** 27 }]]) }, engine));
  assert.deepEqual(opened, ['memory', 'file']);
});

test('inputs of another shape are refused with the dimension that is wrong', async () => {
  const session = await ortNode.open({ bytes: await onnxBytes(product(4)) });
  await assert.rejects(session.run({ x: { type: 'f32', shape: [1, 3], data: new Float32Array(3) } }), /does not run: Got invalid dimensions for input: x .*, index: 1 Got: 3 Expected: 4/);
  await session.dispose();
});
