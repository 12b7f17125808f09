/** Learned balancing and ranges on a layer with special tokens, and sampling without outliers: check values of QuantVGGT's parts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { exportWithInputs } from '../../src/export/onnx-activations.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { kMeans } from '../../src/numeric/kmeans.ts';
import { normal } from '../../src/numeric/random.ts';
import { diverseSamples, similarityToFirst, withinFences } from '../../src/observe/diverse-samples.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import type { Step } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const [tokens, width, outputs] = [32, 64, 48];

/** Tokens of which three are large on two channels, and one channel is large everywhere. */
function sample(seed: number): Float32Array {
  return Float32Array.from({ length: tokens * width }, (_, i) => {
    const [token, channel] = [Math.floor(i / width), i % width];
    return normal(seed, 0, i) * (channel === 9 ? 12 : 1) + (token < 3 && (channel === 4 || channel === 30) ? 60 : 0);
  });
}
function layer(): Graph {
  const g = new GraphBuilder('layer');
  const x = g.input('x', 'f32', [1, tokens, width]);
  g.output(g.op('MatMul', [x, g.weight(floatTensor('w', [width, outputs], Float32Array.from({ length: width * outputs }, (_, i) => normal(3, 1, i) / 8)))]), 'y', 'f32', [1, tokens, outputs]);
  return g.graph();
}
const samples = Array.from({ length: 8 }, (_, i) => ({ x: f32([1, tokens, width], sample(i)) }));

test('learned factors and ranges lose less than where they start and than rotation alone, in the file too', async () => {
  const graph = layer();
  const blocks: string[] = [];
  const errorOf = async (steps: readonly Step[]): Promise<number> => {
    const made = await applyRecipe({ name: 'test', summary: '', needs: [], steps, formats: [], exports: [] }, graph, {
      engine: ortNode, batches: () => samples, formatOf: () => parseFormat('int4/channel'), activationOf: () => parseFormat('int4/token'), onLine: (line) => blocks.push(line),
    });
    const { graph: file } = await exportWithInputs(made.graph, made.weights, made.activations);
    const [float, low] = [await openGraph(graph, ortNode), await openGraph(file, ortNode)];
    let [error, energy] = [0, 0];
    for (let seed = 50; seed < 54; seed++) {
      const x = f32([1, tokens, width], sample(seed));
      const [a, b] = [(await float.run({ x })).y.data as Float32Array, (await low.run({ x })).y.data as Float32Array];
      a.forEach((value, i) => { error += (b[i] - value) ** 2; energy += value ** 2; });
    }
    await float.dispose();
    await low.dispose();
    return error / energy;
  };
  const rotate: Step = { step: 'rotate', where: 'online' };
  const balance = (factors: boolean, ranges: boolean): Step => ({ step: 'learn-balance', factors, ranges, epochs: 40 });
  const nearest = await errorOf([{ step: 'round', rounder: 'nearest' }]);
  const rotated = await errorOf([rotate, { step: 'round', rounder: 'nearest' }]);
  const start = await errorOf([rotate, balance(false, false)]);
  const learned = await errorOf([rotate, balance(true, true)]);
  assert.ok(rotated < nearest, `${rotated} against ${nearest}`);
  assert.ok(learned < start, `${learned} against ${start}`);
  assert.ok(learned < rotated, `${learned} against ${rotated}`);
  const [, before, after] = /: ([\d.e-]+) to ([\d.e-]+)/.exec(blocks.at(-1)!)!;
  assert.ok(Number(after) < Number(before));
});

test('a token of four bits has the scale and codes of the card', () => {
  const { scales, codes } = parseFormat('int4/token').encode(Float32Array.of(7, -8, 0, 1), 1, 4);
  assert.deepEqual([scales[0], ...codes], [Math.fround(8 / 7), 6, -7, 0, 1]);
});

test('fences drop what lies outside 1.5 interquartile ranges, and nothing of three', () => {
  assert.deepEqual(withinFences([1, 2, 3, 4, 100]), [true, true, true, true, false]);
  assert.deepEqual(withinFences([1, 2, 3, 4, 5, 20]), [true, true, true, true, true, false]);
  assert.deepEqual(withinFences([1, 2, 1000]), [true, true, true]);
});

test('frames are compared with the first token by token; a token of zeros counts zero', () => {
  const similar = similarityToFirst([1, 0, 0, 1, /* same */ 2, 0, 0, 3, /* turned, and nothing */ 0, 1, 0, 0], [3, 2, 2]);
  assert.deepEqual([...similar], [1, 0]);
});

test('clusters are those that were made, whatever the order', () => {
  const points = Array.from({ length: 60 }, (_, i) => [10 * (i % 3) + normal(1, 0, i), -7 * (i % 3) + normal(1, 1, i)]);
  const { labels } = kMeans(points, 3);
  points.forEach((_, i) => assert.equal(labels[i], labels[i % 3]));
  assert.equal(new Set(labels).size, 3);
  assert.deepEqual(kMeans([[1], [1]], 5).labels, [0, 0]);
});

test('samples are spread over clusters, and one with a hundred times the deviation is never among them', () => {
  const described = Array.from({ length: 60 }, (_, i) => ({ statistics: [normal(2, 0, i) / 10, i === 17 ? 100 : 1 + normal(2, 1, i) / 20], descriptor: [i % 5 === 0 ? 1 : 0, i % 5, (i % 5) ** 2] }));
  for (let seed = 0; seed < 20; seed++) {
    const { chosen, dropped } = diverseSamples(described, { clusters: 5, perCluster: 4, seed });
    assert.ok(dropped.includes(17) && !chosen.includes(17));
    assert.equal(chosen.length, 20);
    for (let c = 0; c < 5; c++) assert.equal(chosen.filter((i) => i % 5 === c).length, 4);
  }
});

test('the step that chooses samples leaves out what normalizations see as an outlier', async () => {
  const g = new GraphBuilder('normalised');
  const x = g.input('x', 'f32', [1, 4, 8]);
  const gain = g.weight(floatTensor('gain', [8], new Float32Array(8).fill(1)));
  g.output(g.op('LayerNormalization', [x, gain]), 'y', 'f32', [1, 4, 8]);
  const rows = Array.from({ length: 24 }, (_, i) => ({ x: f32([1, 4, 8], Float32Array.from({ length: 32 }, (_value, k) => normal(4, i, k) * (i === 5 ? 100 : 1) + (i % 2 === 0 ? 3 : -3) * (k % 8 < 4 ? 1 : -1))) }));
  const { batches, notes } = await applyRecipe(
    { name: 'test', summary: '', needs: [], steps: [{ step: 'choose-samples', clusters: 2, perCluster: 3 }], formats: [], exports: [] }, g.graph(), { engine: ortNode, batches: () => rows, formatOf: () => undefined },
  );
  const chosen = [...batches!() as typeof rows].map((feeds) => rows.findIndex((row) => row.x.data[0] === feeds.x.data[0]));
  assert.equal(chosen.length, 6);
  assert.ok(!chosen.includes(5));
  assert.equal(chosen.filter((i) => i % 2 === 0).length, 3);
  assert.match(notes[0], /^6 of 24 samples from 2 clusters; \d+ dropped as outliers$/);
});
