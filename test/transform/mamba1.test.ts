/** Rewrites of Mamba-1 blocks leave the function alone: factors within the gate, a turned bottleneck, a turned readout. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal, randomInteger } from '../../src/numeric/random.ts';
import { observeMagnitudes } from '../../src/observe/magnitudes.ts';
import { momentKey, observeMoments } from '../../src/observe/moments.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { checkEquivalent } from '../../src/transform/check-equivalent.ts';
import { covariance, kltRotation, varianceRatio } from '../../src/transform/klt.ts';
import { mambaBlocks, type Mamba1Block } from '../../src/transform/mamba-blocks.ts';
import { rotateScans } from '../../src/transform/mamba-scan-rotation.ts';
import { ssmSites } from '../../src/transform/mamba-scales.ts';
import { rotateStep } from '../../src/transform/rotate-step.ts';
import { smoothGate } from '../../src/transform/smooth-silu.ts';
import { layers, lively, rank, vocabulary } from '../models/lively-mamba1.ts';

const graph = lively().graph();
const feeds = { input_ids: i64([2, 40], Array.from({ length: 80 }, (_, i) => randomInteger(3, 0, i, vocabulary))) };
const blocks = (g: Graph) => mambaBlocks(g) as Mamba1Block[];

test('a gate that is given the factors computes SiLU (card of MambaQuant)', async () => {
  // g = 2, s = 4: g′ = 0.5, S-SiLU = 0.4403985390, times s = SiLU(2) = 1.7615941560.
  const g = new GraphBuilder('gate', 21);
  const x = g.input('x', 'f32', [1, 1]);
  const project = (name: string, value: string, matrix: readonly number[], shape: readonly number[]): string => g.op('MatMul', [value, g.weight(floatTensor(name, shape, Float32Array.from(matrix)))]);
  const [y, z] = g.op('Split', [project('m.in_proj.weight', x, [1, 2], [1, 2])], { axis: int(-1), num_outputs: int(2) }, { outputs: ['y', 'm.z'] });
  const gated = g.op('Mul', [y, g.op('Mul', [z, g.op('Sigmoid', [z])])], {}, { outputs: ['gated'] });
  g.output(project('m.out_proj.weight', gated, [1], [1, 1]), 'out');
  for (const part of ['x_proj', 'dt_proj']) g.output(project(`m.${part}.weight`, y, [1], [1, 1]));
  g.weight(floatTensor('m.A_log', [1, 1], Float32Array.of(0)));
  g.metadata.set('mamba', '{}');
  const made = g.graph();
  const smoothed = await smoothGate(made, blocks(made)[0], Float32Array.of(4));
  const session = await openGraph({ ...smoothed, outputs: [...smoothed.outputs, { name: 'gated', type: 'f32', shape: [1, 1] }] }, ortNode);
  const found = await session.run({ x: { type: 'f32', shape: [1, 1], data: Float32Array.of(1) } });
  await session.dispose();
  assert.ok(Math.abs((found.gated.data as Float32Array)[0] - 0.440398539) < 1e-7);
  assert.ok(Math.abs((found.out.data as Float32Array)[0] - 1.761594156) < 1e-6);
});

test('factors within all gates leave the logits', async () => {
  let next = graph;
  for (const { stem, inner } of blocks(graph)) next = await smoothGate(next, blocks(next).find((block) => block.stem === stem)!, Float32Array.from({ length: inner }, (_, i) => Math.exp(normal(1, 0, i))));
  assert.ok(await checkEquivalent(graph, next, ortNode, feeds, 1e-5) > 0);
});

test('eigenvectors of its own give the bottleneck of step sizes one variance in each block', async () => {
  const observe = async (g: Graph) => {
    const moments = await observeMoments(g, ortNode, [feeds], blocks(g).map(({ stepProj }) => stepProj));
    return blocks(g).map(({ stepProj }) => covariance(moments.get(momentKey(stepProj))!));
  };
  const before = await observe(graph);
  let next = graph;
  for (const [i, { stem }] of blocks(graph).entries()) next = await rotateStep(next, blocks(next).find((block) => block.stem === stem)!, kltRotation(before[i], rank));
  assert.ok(await checkEquivalent(graph, next, ortNode, feeds, 1e-5) > 0);
  for (const [i, after] of (await observe(next)).entries()) {
    assert.ok(Math.abs(varianceRatio(after, rank) - 1) < 1e-4, `block ${i}: ${varianceRatio(after, rank)}`);
    assert.ok(varianceRatio(before[i], rank) > 1.02);
  }
});

test('states and C turn together before the readout, smoothed or not', async () => {
  for (const magnitudes of [undefined, await observeMagnitudes(graph, ortNode, [feeds], ssmSites(graph))]) {
    const { graph: turned, kept } = rotateScans(graph, magnitudes);
    assert.equal(kept.size, 1);
    assert.ok(await checkEquivalent(graph, turned, ortNode, feeds, 1e-5) > 0);
  }
});

test('MambaQuant comes near the float model with bits; an order of heads is refused', async () => {
  const options = { engine: ortNode, batches: () => [feeds], formatOf: (site: { readonly kind: string }) => (site.kind === 'MatMul' ? parseFormat('int8/channel') : undefined) };
  // Sums over eight channels are coarse at 8 bits; twelve show that nothing but rounding is left.
  const steps = findRecipe('mambaquant').steps.map((step) => (step.step === 'ssm-scales' ? { ...step, bits: 12 } : step));
  const applied = await applyRecipe({ ...findRecipe('mambaquant'), steps }, graph, options);
  assert.equal([...applied.weights.keys()].filter((id) => /(in|x|dt|out)_proj\.weight$/.test(id)).length, 4 * layers);
  const file = await exportWeightOnly(applied.graph, applied.weights, { accuracyLevel: 0 });
  assert.ok(await checkEquivalent(graph, file.graph, ortNode, feeds, 0.03) > 1e-4);
  await assert.rejects(applyRecipe(findRecipe('quamba2'), graph, options), { message: 'sort-and-cluster needs the heads of Mamba-2, and lively is a Mamba-1' });
});
