import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contiguousClusters, wardClusters } from '../../src/numeric/cluster.ts';
import { normal } from '../../src/numeric/random.ts';

/** Sum of squared distances to the means of the clusters. */
const spread = (points: readonly (readonly number[])[], labels: readonly number[]): number => [...new Set(labels)].reduce((total, label) => {
  const own = points.filter((_, i) => labels[i] === label);
  const mean = own[0].map((_, d) => own.reduce((sum, point) => sum + point[d], 0) / own.length);
  return total + own.reduce((sum, point) => sum + point.reduce((s, value, d) => s + (value - mean[d]) ** 2, 0), 0);
}, 0);

test('neighbours are joined first, numbered by their first points', () => {
  assert.deepEqual(wardClusters([[9], [0], [10], [1], [5]], 3), [0, 1, 0, 1, 2]);
  assert.deepEqual(wardClusters([[1], [1], [1]], 2), [0, 0, 1]);
  assert.deepEqual(wardClusters([[1], [2]], 1), [0, 0]);
  assert.throws(() => wardClusters([[1]], 2), { message: '2 clusters of 1 points' });
});

test('every join is the one that adds least to the spread', () => {
  const points = Array.from({ length: 9 }, (_, i) => [normal(2, 0, 2 * i), normal(2, 0, 2 * i + 1)]);
  for (let count = 8; count >= 1; count--) {
    const before = wardClusters(points, count + 1);
    const after = wardClusters(points, count);
    const joins = Array.from({ length: count + 1 }, (_, a) => Array.from({ length: count + 1 }, (_one, b) => (a < b ? spread(points, before.map((label) => (label === b ? a : label))) : Infinity)));
    assert.ok(Math.abs(spread(points, after) - Math.min(...joins.flat())) < 1e-9);
  }
});

test('runs follow the values and sum to the whole', () => {
  const points = [0.1, 0.2, 0.2, 0.3, 3, 4, 4.5, 5].map((value) => [value]);
  assert.deepEqual(contiguousClusters(points, 2), [4, 4]);
  assert.deepEqual(contiguousClusters([[0], [0], [0], [0], [0], [9], [10], [50]], 3), [5, 2, 1]);
  assert.equal(contiguousClusters([[1], [1], [1], [1]], 3).reduce((a, b) => a + b), 4, 'none empty where nothing tells points apart');
  assert.deepEqual(contiguousClusters([[1], [7], [2]], 3), [1, 1, 1]);
});
