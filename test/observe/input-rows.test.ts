/** Rows of inputs: a sample that spreads over all batches, and maxima over everything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { observeInputRows } from '../../src/observe/input-rows.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const g = new GraphBuilder('rows', 21);
const x = g.input('x', 'f32', ['N', 5, 2]);
g.output(g.op('MatMul', [x, g.weight(floatTensor('w', [2, 1], Float32Array.of(1, 1)))]), 'y', 'f32', ['N', 5, 1]);
const graph = g.graph();

/** Row r is (r, −r). */
const batch = (from: number, samples: number) => ({ x: f32([samples, 5, 2], Float32Array.from({ length: samples * 10 }, (_, i) => (i % 2 === 0 ? 1 : -1) * (from + Math.floor(i / 2)))) });
const firsts = (values: Float32Array): number[] => [...values].filter((_, i) => i % 2 === 0);

test('few rows are all taken', async () => {
  const found = (await observeInputRows(graph, ortNode, [batch(0, 1), batch(5, 1)], linearSites(graph), 16)).get('x')!;
  assert.deepEqual([found.count, found.cols], [10, 2]);
  assert.deepEqual(firsts(found.values), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual([...found.maxAbsolute], [9, 9]);
});

test('many rows are thinned evenly over all batches, maxima are not', async () => {
  const batches = Array.from({ length: 10 }, (_, i) => batch(20 * i, 4));
  const { values, count, maxAbsolute } = (await observeInputRows(graph, ortNode, batches, linearSites(graph), 8)).get('x')!;
  assert.equal(count, 8);
  const rows = firsts(values);
  assert.ok(rows.every((row, i) => i === 0 || row > rows[i - 1]));
  assert.ok(rows[0] < 40 && rows[7] >= 140, `${rows}`);
  assert.deepEqual([...maxAbsolute], [199, 199]);
});

test('no batch is an error', async () => {
  await assert.rejects(observeInputRows(graph, ortNode, [], linearSites(graph)), /no batch/);
});
