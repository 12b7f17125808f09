import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { activationValues } from '../../src/export/onnx-static.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { betterBiases } from '../../src/jobs/bias-choice.ts';
import { staticNoise } from '../../src/jobs/static-noise.ts';
import { normal } from '../../src/numeric/random.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const g = new GraphBuilder('layer', 21);
g.input('x', 'f32', [8, 4, 8, 8]);
g.output(g.op('Conv', ['x', g.weight(floatTensor('w', [3, 4, 1, 1], Float32Array.from({ length: 12 }, (_, i) => Math.sin(i + 1))))]), 'y', 'f32', [8, 3, 8, 8]);
const graph = g.graph();

/** Batches around means given one by one: rounding of weights shifts the mean of the output in proportion. */
const batches = (means: readonly number[]) => means.map((mean, batch) => ({ x: f32([8, 4, 8, 8], Float32Array.from({ length: 2048 }, (_, i) => mean + normal(3, batch, i) / 10)) }));
const rounded = (data: ReturnType<typeof batches>) =>
  applyRecipe(findRecipe('krishnamoorthi-int8'), graph, { engine: ortNode, activationValues, formatOf: () => parseFormat('int4/channel'), batches: () => data });

test('a mean error of the weights goes into the biases', async () => {
  const data = batches([2, 2, 2]);
  const noise = staticNoise(graph, ortNode, data);
  const before = await rounded(data);
  const after = await betterBiases(before, ortNode, data, noise);
  assert.ok((await noise(after)) > (await noise(before)) + 10, `${await noise(before)} to ${await noise(after)} dB`);
});

test('biases stay where means of other batches would spoil what is measured', async () => {
  // Noise is measured on the first batch; the mean over all lies on the other side of zero.
  const data = batches([1, -3, -3]);
  const before = await rounded(data);
  assert.equal(await betterBiases(before, ortNode, data, staticNoise(graph, ortNode, data)), before);
});
