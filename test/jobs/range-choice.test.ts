import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { activationValues } from '../../src/export/onnx-static.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { betterRanges } from '../../src/jobs/range-choice.ts';
import { staticNoise } from '../../src/jobs/static-noise.ts';
import { normal } from '../../src/numeric/random.ts';
import { applyRecipe, type Applied } from '../../src/recipes/apply.ts';
import { findRecipe } from '../../src/recipes/registry.ts';

const g = new GraphBuilder('pair', 21);
g.input('x', 'f32', [8, 2, 8, 8]);
const hidden = g.op('Conv', ['x', g.weight(floatTensor('w0', [2, 2, 1, 1], Float32Array.of(0.8, 0.6, -0.6, 0.8)))]);
g.output(g.op('Conv', [hidden, g.weight(floatTensor('w1', [2, 2, 1, 1], Float32Array.of(0.6, 0.8, -0.8, 0.6)))]), 'y', 'f32', [8, 2, 8, 8]);
const graph = g.graph();

/** Six quiet batches, each with one value that is `loud` times as large somewhere; the `only`-th alone where it is given. */
const batches = (loud: number, only?: number) => Array.from({ length: 6 }, (_, batch) => ({
  x: f32([8, 2, 8, 8], Float32Array.from({ length: 1024 }, (_, i) => normal(5, batch, i) * (i === 7 && (only === undefined || only === batch) ? loud : 1))),
}));
const averaged = (data: ReturnType<typeof batches>) =>
  applyRecipe(findRecipe('krishnamoorthi-int8'), graph, { engine: ortNode, activationValues, formatOf: () => parseFormat('int8/channel'), batches: () => data });
const widths = ({ ranges }: Applied) => [...ranges.values()].map(({ low, high }) => high - low);

test('a range widened by one batch that is like no other stays narrow where narrow serves better', async () => {
  // The loud batch is not among those that noise is measured on.
  const data = batches(400, 5);
  const found = await averaged(data);
  assert.deepEqual(widths(await betterRanges(found, staticNoise(graph, ortNode, data))), widths(found));
});

test('outliers that every batch has are kept', async () => {
  const data = batches(60);
  const found = await averaged(data);
  const better = widths(await betterRanges(found, staticNoise(graph, ortNode, data)));
  assert.ok(better.every((width, i) => width >= widths(found)[i]) && better.some((width, i) => width > widths(found)[i]));
  for (const { low, high, min, max } of (await betterRanges(found, staticNoise(graph, ortNode, data))).ranges.values()) assert.deepEqual([low, high], [Math.min(0, min), Math.max(0, max)]);
});
