import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  absMax, cosine, firstNonFinite, histogram, mean, meanSquaredError, minMax, percentile, sqnr, std,
} from '../../src/numeric/statistics.ts';
import { sortedOrder } from '../../src/numeric/sort.ts';

test('summaries of a small array are those computed by hand', () => {
  const values = Float32Array.of(2, -4, 4, 4, 5, 5, 7, 9);
  assert.deepEqual(minMax(values), { min: -4, max: 9 });
  assert.equal(absMax(values), 9);
  assert.equal(mean(values), 4);
  assert.equal(std(values), Math.sqrt((4 + 64 + 0 + 0 + 1 + 1 + 9 + 25) / 8));
  assert.equal(percentile(values, 0), -4);
  assert.equal(percentile(values, 50), 4.5);
  assert.equal(percentile(values, 100), 9);
  assert.equal(percentile(Float32Array.of(1, 2, 3, 4), 25), 1.75);
  assert.deepEqual([...histogram(Float32Array.of(0, 0.5, 1, 1.5, 2, 3), 2, { min: 0, max: 2 })], [2, 3]);
  assert.equal(meanSquaredError([1, 2], [2, 4]), 2.5);
  assert.ok(Math.abs(sqnr([10, 0], [9, 0]) - 20) < 1e-12);
  assert.equal(sqnr([1], [1]), Infinity);
  assert.ok(Math.abs(cosine([1, 0], [1, 1]) - Math.SQRT1_2) < 1e-15);
});

test('the first value that is not finite is found', () => {
  assert.equal(firstNonFinite(Float32Array.of(1, 2, 3.4e38, -3.4e38)), -1);
  assert.equal(firstNonFinite(Float32Array.of(1, NaN, Infinity)), 1);
  assert.equal(firstNonFinite(Float32Array.of(1, 2, -Infinity)), 2);
});

test('the sorted order is ascending, stable and complete', () => {
  fc.assert(fc.property(fc.array(fc.float({ noNaN: true }), { maxLength: 200 }), (list) => {
    const values = Float32Array.from(list);
    const order = sortedOrder(values);
    for (let i = 1; i < order.length; i++) {
      const [a, b] = [values[order[i - 1]], values[order[i]]];
      assert.ok(a < b || (a === b && (order[i - 1] < order[i] || Object.is(a, -0))));
    }
    assert.equal(new Set(order).size, list.length);
  }), { seed: 6 });
});
