import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { float, GraphBuilder, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { recipeRunner } from '../../src/jobs/recipe-runner.ts';
import { schemeForBits } from '../../src/jobs/schemes.ts';
import { findRecipe } from '../../src/recipes/registry.ts';

/** Three convolutions, each with its own normalization; the last two share one weight. */
function normalized(): Graph {
  const g = new GraphBuilder('normalized', 21);
  const [own, shared] = ['own', 'shared'].map((name) => g.weight(floatTensor(name, [2, 2, 1, 1], Float32Array.of(1, -2, 3, 4))));
  const layer = (from: string, weight: string, name: string, scale: number): string => {
    const conv = g.op('Conv', [from, weight], { pads: ints([0, 0, 0, 0]) }, { name, outputs: [name] });
    return g.op('BatchNormalization', [conv, ...[[scale, scale], [0, 1], [0, 0], [1, 1]].map((values, i) => g.floats(values, `${name}.${i}`))], { epsilon: float(0) }, { outputs: [`${name}_normalized`] });
  };
  const first = layer(g.input('x', 'f32', [1, 2, 1, 1]), own, 'a', 2);
  g.output(layer(layer(first, shared, 'b', 3), shared, 'c', 5), undefined, 'f32', [1, 2, 1, 1]);
  return g.graph();
}

const run = (graph: Graph, keep: readonly string[] = []) => recipeRunner({ graph }, { keep: [...keep] }, { engine: ortNode, batches: () => [{ x: f32([1, 2, 1, 1], Float32Array.of(1, 2)) }] })({
  scheme: schemeForBits(8, 'onnx', 'onnx'), recipe: findRecipe('krishnamoorthi-int8'),
});

test('weights take their format after batch normalization is folded into them', async () => {
  const { graph, weights } = await run(normalized());
  assert.ok(!graph.nodes.some(({ op }) => op === 'BatchNormalization'));
  assert.deepEqual(linearSites(graph).map(({ id }) => weights.get(id)?.format.name), ['int8/channel', 'int8/channel', 'int8/channel']);
  assert.ok(weights.has('own'), 'a weight of one layer keeps the name that it was planned under');
  assert.deepEqual(Array.from(await linearSites(graph)[0].weightMatrix()), [2, -4, 6, 8]);
  assert.deepEqual(Array.from(await linearSites(graph)[2].weightMatrix()), [5, -10, 15, 20]);
});

test('layers to keep stay float through the transforms, by weight and by node', async () => {
  const { graph, weights } = await run(normalized(), ['own', 'c']);
  assert.deepEqual(linearSites(graph).map(({ id }) => weights.has(id)), [false, true, false]);
});

test('an activation to keep gets no range, and so stays float', async () => {
  assert.ok((await run(normalized())).ranges.has('b_normalized'));
  const { ranges, weights } = await run(normalized(), ['b_*']);
  assert.ok(!ranges.has('b_normalized') && ranges.has('x'));
  assert.equal(weights.size, 3);
});
