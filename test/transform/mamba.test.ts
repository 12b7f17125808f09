/** Rewrites of Mamba-2 blocks leave the function alone, and do what their names say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { hadamardMatrix } from '../../src/numeric/hadamard.ts';
import { normal } from '../../src/numeric/random.ts';
import { observeMagnitudes } from '../../src/observe/magnitudes.ts';
import { momentKey, observeMoments } from '../../src/observe/moments.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { plantScan } from '../../src/reproductions/data/planted-scan.ts';
import { checkEquivalent } from '../../src/transform/check-equivalent.ts';
import { covariance, kltRotation, varianceRatio } from '../../src/transform/klt.ts';
import { mamba2Blocks as blocksFor, mambaBlocks } from '../../src/transform/mamba-blocks.ts';
import { reorderScan, scaleIndices, sortAndCluster } from '../../src/transform/mamba-order.ts';
import { rotateScans } from '../../src/transform/mamba-scan-rotation.ts';
import { ssmScales, ssmSites, withClusters } from '../../src/transform/mamba-scales.ts';
import { rotateInputs, turnable } from '../../src/transform/rotate.ts';
import { foldGains, rotateResidual } from '../../src/transform/rotate-residual.ts';
import { hadamardRotation } from '../../src/transform/rotation.ts';
import { insertStaticScales, symmetricScales } from '../../src/transform/static-scales.ts';
import { ids, lively, size } from '../models/lively-mamba2.ts';

const layers = 3;
const graph = lively({ layers, state: 8 }).graph();
const feeds = { input_ids: i64([2, 8], [...ids.slice(0, 8), ...ids.slice(3, 11)]) };
const run = async (g: Graph): Promise<Float32Array> => {
  const session = await openGraph(g, ortNode);
  const { logits } = await session.run(feeds);
  await session.dispose();
  return logits.data as Float32Array;
};

test('channels of a head ascend, and heads alike stand together (card of Quamba2)', () => {
  const order = sortAndCluster([0.1, 4, 0.2, 3, 5, 0.3, 4.5, 0.2], { heads: 2, headDim: 4, groups: 1 }, 1, 2);
  assert.deepEqual(order, { channels: [0, 2, 3, 1, 7, 5, 6, 4], heads: [0, 1], clusters: [[{ heads: 2, runs: [2, 2] }]] });
  assert.deepEqual(scaleIndices(order), [0, 0, 1, 1, 0, 0, 1, 1]);
  // Two profiles, one of them in heads 0 and 2 of the second group.
  const flat = [1, 1, 1, 1];
  const steep = [0, 0, 0, 9];
  const two = sortAndCluster([...flat, ...flat, ...flat, ...flat, ...flat, ...steep, ...flat, ...steep].map((v, i) => v + i * 1e-6), { heads: 8, headDim: 4, groups: 2 }, 2, 2);
  assert.deepEqual(two.heads.slice(4), [4, 6, 5, 7], 'heads move inside of their group');
  assert.deepEqual(two.clusters[1], [{ heads: 2, runs: [2, 2] }, { heads: 2, runs: [3, 1] }]);
  for (const clusters of two.clusters) assert.equal(clusters.reduce((sum, { heads }) => sum + heads, 0), 4);
});

test('one scale errs more than one for each of two clusters (card of Quamba2)', () => {
  const values = [1, 0.37, 0.11].flatMap((scale) => [0.1, 4, 0.2, 3, 5, 0.3, 4.5, 0.2].map((value) => value * scale));
  const error = (scaleOf: (i: number) => number): number => {
    const scales = symmetricScales([...new Set(values.map((_, i) => scaleOf(i)))].sort().map((index) => Math.max(...values.filter((_, i) => scaleOf(i) === index))), 8);
    return values.reduce((sum, value, i) => sum + (Math.round(value / scales[scaleOf(i)]) * scales[scaleOf(i)] - value) ** 2, 0) / values.length;
  };
  assert.ok(Math.abs(error(() => 0) - 1.2055e-4) < 1e-8);
  assert.ok(Math.abs(error((i) => ([1, 3, 4, 6].includes(i % 8) ? 1 : 0)) - 6.0871e-5) < 1e-8);
});

test('a new order of heads and channels leaves the logits, gates and gains included', async () => {
  for (const groups of [1, 4]) {
    const float = lively({ groups, state: 8 }).graph();
    let next = float;
    for (const block of blocksFor(float, 'test')) {
      const order = sortAndCluster(Array.from({ length: block.inner }, (_, i) => Math.abs(normal(4, 0, i))), block, 2, 2);
      assert.notDeepEqual(order.channels, Array.from({ length: block.inner }, (_, i) => i));
      assert.deepEqual([...order.channels].sort((a, b) => a - b), Array.from({ length: block.inner }, (_, i) => i));
      next = await reorderScan(next, blocksFor(next, 'test').find(({ stem }) => stem === block.stem)!, order);
    }
    assert.ok(await checkEquivalent(float, next, ortNode, feeds, 1e-5) > 0, 'sums run in another order');
  }
});

test('rotations of the stream, of the readout and of the scan leave the logits, smoothed or not', async () => {
  const stream = await rotateResidual(graph, (width) => hadamardRotation(width, 1));
  assert.equal(stream.turned.length, layers, 'all input projections read a turned stream');
  await checkEquivalent(graph, stream.graph, ortNode, feeds, 1e-5);
  const readout = await rotateInputs(stream.graph, ({ cols }) => hadamardRotation(cols), turnable(stream.graph).filter(({ id }) => id.endsWith('out_proj.weight')));
  await checkEquivalent(graph, readout.graph, ortNode, feeds, 1e-5);
  assert.deepEqual(mambaBlocks(readout.graph).map(({ outProj }) => readout.turned.includes(outProj.input)), [false, false, false], 'the projection reads the turned value');
  for (const magnitudes of [undefined, await observeMagnitudes(readout.graph, ortNode, [feeds], ssmSites(readout.graph))]) {
    const { graph: scan } = rotateScans(readout.graph, magnitudes);
    await checkEquivalent(graph, scan, ortNode, feeds, 1e-5);
    const [block] = mambaBlocks(scan);
    const values = [`${block.stem}.x`, `${block.stem}.x_plain`];
    const found = await observeMagnitudes(scan, ortNode, [feeds], new Map(values.map((value) => [value, 1])));
    assert.notDeepEqual(found.get(values[0])!.max, found.get(values[1])!.max, 'the name stands for the turned value');
  }
});

test('eigenvectors and a Hadamard matrix give every channel of a real input one variance', async () => {
  const folded = await foldGains(graph);
  const site = linearSites(folded).findLast(({ id }) => id.endsWith('in_proj.weight'))!;
  const observe = async (g: Graph) => covariance((await observeMoments(g, ortNode, [feeds], linearSites(g).filter(({ id }) => id === site.id))).get(momentKey(linearSites(g).find(({ id }) => id === site.id)!))!);
  const seen = await observe(folded);
  const rotation = kltRotation(seen, site.cols);
  assert.ok(varianceRatio(seen, site.cols) > 1.5);
  assert.ok(varianceRatio(seen, site.cols, hadamardRotation(site.cols)) > 1.5, 'the Hadamard matrix alone does not');
  assert.ok(Math.abs(varianceRatio(seen, site.cols, rotation) - 1) < 1e-5);
  const { graph: turned } = await rotateResidual(graph, () => rotation);
  await checkEquivalent(graph, turned, ortNode, feeds, 1e-5);
  assert.ok(Math.abs(varianceRatio(await observe(turned), site.cols) - 1) < 1e-4);
});

test('a width without a Hadamard matrix is turned in blocks', () => {
  const width = 6;
  const c = Float64Array.from({ length: width * width }, (_, i) => (i % (width + 1) === 0 ? 2 ** Math.floor(i / width) : 0));
  const { matrix, order } = kltRotation(c, width);
  assert.equal(order, width);
  const product = Array.from({ length: width * width }, (_, i) => Array.from({ length: width }, (_one, k) => matrix[k * width + Math.floor(i / width)] * matrix[k * width + (i % width)]).reduce((a, b) => a + b));
  for (const [i, value] of product.entries()) assert.ok(Math.abs(value - (i % (width + 1) === 0 ? 1 : 0)) < 1e-6);
  assert.deepEqual([...hadamardMatrix(2)].map(Math.sign), [1, 1, 1, -1]);
});

test('scales by cluster and by state group round as they would one by one', async () => {
  const order = sortAndCluster(new Float32Array(2 * size.hidden).map((_, i) => i % 5), blocksFor(graph, 'test')[0], 2, 2);
  const clustered = withClusters(graph, new Map(mambaBlocks(graph).map(({ stem }) => [stem, order.clusters])));
  const magnitudes = await observeMagnitudes(clustered, ortNode, [feeds], ssmSites(clustered));
  const scales = ssmScales(clustered, magnitudes, { bits: 8, channels: 'cluster', groups: 'group' });
  const of = (name: string) => scales.find(({ value }) => value === `backbone.layers.0.mixer.${name}`)!;
  assert.equal(new Set(of('B').scales).size, size.groups);
  assert.equal(of('z').scales.length, 1);
  assert.deepEqual(of('state').shape, [4, 2, 8, 4]);
  assert.equal(new Set(of('x').scales).size, order.clusters.flat().flatMap(({ runs }) => runs).length);
  // What is as large as ever seen still fits.
  for (const { value, scales: list } of scales) magnitudes.get(value)!.max.forEach((max, i) => assert.ok(max <= 127.001 * (list[i] ?? list[0]), value));
  const [before, coarse, fine] = [await run(graph), await run(insertStaticScales(clustered, ssmScales(clustered, magnitudes, { bits: 8, channels: 'tensor', groups: 'tensor' }))), await run(insertStaticScales(clustered, scales))];
  const error = (found: Float32Array): number => Math.sqrt(found.reduce((sum, value, i) => sum + (value - before[i]) ** 2, 0) / before.reduce((sum, value) => sum + value * value, 0));
  assert.ok(error(fine) > 1e-4 && error(fine) < 0.2 && error(fine) < error(coarse), `${error(fine)} against ${error(coarse)}`);
});

test('planted outliers are the same float function, with larger channels', async () => {
  for (const groups of [1, 4]) {
    const float = lively({ groups, layers: 1, state: 8 }).graph();
    const twin = plantScan(float, 3);
    await checkEquivalent(float, twin, ortNode, feeds, 1e-5);
    const names = new Map(['x', 'B'].map((name) => [`backbone.layers.0.mixer.${name}`, 1]));
    const [before, after] = [await observeMagnitudes(float, ortNode, [feeds], names), await observeMagnitudes(twin, ortNode, [feeds], names)];
    const largest = (found: typeof before, name: string): number => found.get(`backbone.layers.0.mixer.${name}`)!.max.reduce((a, b) => Math.max(a, b));
    assert.ok(largest(after, 'x') > 2 * largest(before, 'x'));
    // Sorted, the large channels of each head stand last; turned, they are spread within their head.
    const [block] = blocksFor(twin, 'test');
    const order = sortAndCluster(after.get('backbone.layers.0.mixer.x')!.meanMax, block, 2, 2);
    const ordered = await reorderScan(twin, block, order);
    await checkEquivalent(float, ordered, ortNode, feeds, 1e-5);
    const sorted = (await observeMagnitudes(ordered, ortNode, [feeds], names)).get('backbone.layers.0.mixer.x')!.meanMax;
    for (let i = 1; i < sorted.length; i++) assert.ok(i % block.headDim === 0 || sorted[i] >= sorted[i - 1] * (1 - 1e-5), `channel ${i}`);
    await checkEquivalent(float, rotateScans(twin, await observeMagnitudes(twin, ortNode, [feeds], ssmSites(twin))).graph, ortNode, feeds, 1e-5);
    assert.equal(largest(after, 'B') > 2 * largest(before, 'B'), groups > 1);
  }
});
