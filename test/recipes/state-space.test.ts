/** Recipes for state-space models on a small Mamba-2 with four state groups, through the file that they are written as. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { clustersOf } from '../../src/transform/mamba-scales.ts';
import { ids, lively, size } from '../models/lively-mamba2.ts';

const graph = lively({ layers: 3, state: 8 }).graph();
const feeds = { input_ids: i64([2, 8], [...ids.slice(0, 8), ...ids.slice(3, 11)]) };

async function logits(found: Graph): Promise<Float32Array> {
  const session = await openGraph(found, ortNode);
  const { logits: made } = await session.run(feeds);
  await session.dispose();
  return made.data as Float32Array;
}

async function run(recipe: Recipe, weights = 'int8/g16') {
  const applied = await applyRecipe(recipe, graph, { engine: ortNode, batches: () => [feeds], formatOf: (site) => (site.kind === 'Conv' || site.kind === 'Gather' ? undefined : parseFormat(weights)) });
  const file = await exportWeightOnly(applied.graph, applied.weights, { accuracyLevel: 0 });
  const [float, low] = [await logits(graph), await logits(file.graph)];
  return { applied, error: Math.sqrt(low.reduce((sum, value, i) => sum + (value - float[i]) ** 2, 0) / float.reduce((sum, value) => sum + value ** 2, 0)) };
}

const projections = Array.from({ length: 3 }, (_, i) => [`backbone.layers.${i}.mixer.in_proj.weight`, `backbone.layers.${i}.mixer.out_proj.weight`]).flat();

for (const name of ['quamba2', 'mambaquant']) {
  test(`${name}: 8 bits everywhere stay near the float model, rotations stay float, and the run says what was done`, async () => {
    const { applied, error } = await run(findRecipe(name));
    assert.ok(error > 1e-4 && error < 0.25, String(error));
    assert.deepEqual([...applied.weights.keys()].sort(), projections);
    assert.ok(applied.kept.size > 0);
    assert.deepEqual(linearSites(applied.graph, { gather: true }).filter(({ kind }) => kind === 'Gather').map(({ id }) => id), ['backbone.embedding.weight'], 'no table of scales looks like one of embeddings');
    const { graph: file } = await exportWeightOnly(applied.graph, applied.weights);
    assert.ok(file.nodes.filter(({ op }) => op === 'MatMulNBits').every(({ attributes }) => attributes.accuracy_level.value === 0), 'the engine rounds no input once more');
    assert.equal(applied.notes.filter((line) => line.includes('fixed grids of 8 bits')).length, 1);
  });
}

test('clusters hold the heads of their state group, and channels the whole head', async () => {
  const { applied } = await run(findRecipe('quamba2'));
  const clusters = clustersOf(applied.graph);
  assert.equal(clusters.size, 3);
  for (const groups of clusters.values()) {
    assert.equal(groups.length, size.groups);
    for (const group of groups) {
      assert.equal(group.reduce((sum, { heads }) => sum + heads, 0), 2);
      for (const { runs } of group) assert.equal(runs.reduce((a, b) => a + b), size.headDim);
    }
  }
});

test('an order after a rotation is refused', () => {
  assert.throws(() => findRecipe('rotate+sort-and-cluster+rtn'), { message: 'sort-and-cluster must come before rotate: turned channels have no order' });
  assert.throws(() => findRecipe('rotate+mambaquant'), { message: 'rotate-readout cannot stand with rotate: both turn what output projections read' });
});

test('another network is refused in one line', async () => {
  const plain = { ...graph, metadata: new Map() };
  await assert.rejects(applyRecipe(findRecipe('quamba2'), plain, { engine: ortNode, batches: () => [feeds], formatOf: () => undefined }), { message: 'lively has no Mamba blocks' });
});

test('the card of Quamba2: four bits with all sixteen codes', () => {
  const format = parseFormat('int4-full/g128');
  const decoded = format.decode(format.encode(new Float32Array([0.75, -0.75, 0.3, -0.05, 0.1]), 1, 5));
  for (const [i, value] of [0.7, -0.8, 0.3, 0, 0.1].entries()) assert.ok(Math.abs(decoded[i] - value) < 1e-6);
});
