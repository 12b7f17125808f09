/** The step of attention in low bits: layers that lose most take eight bits, float weights may stay float, and graphs without attention are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import { attentionSites } from '../../src/graph/attention.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { recipeFor } from '../../src/jobs/outputs.ts';
import { normal } from '../../src/numeric/random.ts';
import { cosine } from '../../src/numeric/statistics.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const [tokens, width] = [40, 16];

/** Two layers, the second with scores so large that four bits are too few. */
function network(): Graph {
  const g = new GraphBuilder('network', 21);
  let x = g.input('x', 'f32', ['n', tokens, width]);
  for (const gain of [0.2, 6]) {
    const keys = g.op('Transpose', [x], { perm: ints([0, 2, 1]) });
    x = g.op('MatMul', [g.op('Softmax', [g.op('Mul', [g.op('MatMul', [x, keys]), g.weight(floatTensor(`gain${gain}`, [], Float32Array.of(gain)))])]), x]);
  }
  g.output(x, 'y', 'f32', ['n', tokens, width]);
  return g.graph();
}
const feeds = { x: f32([2, tokens, width], Float32Array.from({ length: 2 * tokens * width }, (_, i) => normal(3, 0, i))) };

test('layers whose output is least like the float one take eight bits', async () => {
  const graph = network();
  assert.equal(attentionSites(graph).length, 2);
  const { steps } = recipeFor('sageattention2', { label: 'f32', weights: 'f32', activations: 'float', compute: 'f32' }, 'onnx', true)!;
  assert.deepEqual(steps.map(({ step }) => step), ['low-bit-attention']);
  const recipe = { ...findRecipe('sageattention2'), steps };
  const applied = await applyRecipe(recipe, graph, { engine: ortNode, batches: () => [feeds], formatOf: () => undefined });
  assert.match(applied.notes[0], /attention of 2 layers: .* 1 layers with codes of 4 bits and 1 with 8/);
  const outputs = await Promise.all([graph, applied.graph].map(async (one) => {
    const session = await openGraph(one, ortNode);
    const { y } = await session.run(feeds);
    await session.dispose();
    return y.data as Float32Array;
  }));
  const found = cosine(outputs[0], outputs[1]);
  assert.ok(found > 0.98 && found < 1, `${found}`);
});

test('a graph without attention is refused with the reason', async () => {
  const g = new GraphBuilder('none', 21);
  g.output(g.op('Relu', [g.input('x', 'f32', ['n', 4])]), 'y', 'f32', ['n', 4]);
  await assert.rejects(applyRecipe({ ...findRecipe('sageattention2'), steps: [{ step: 'low-bit-attention', bits: 4, least: 0.99 }] }, g.graph(), { engine: ortNode, batches: () => [{}], formatOf: () => undefined }), /no attention was found/);
});

test('where weights keep their values, recipes that are about weights alone do nothing', () => {
  assert.equal(recipeFor('gptq', { label: 'f32', weights: 'f32', activations: 'float', compute: 'f32' }, 'onnx', true), undefined);
});
