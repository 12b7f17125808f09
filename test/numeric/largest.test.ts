/** The largest of some values, as sorting finds them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { largest } from '../../src/numeric/largest.ts';
import { randomInteger } from '../../src/numeric/random.ts';

test('the largest values, ties by index, as a stable sort of all has them', () => {
  for (let seed = 0; seed < 50; seed++) {
    const values = Array.from({ length: 40 }, (_, i) => randomInteger(seed, 0, i, 12));
    const sorted = [...values.keys()].sort((a, b) => values[b] - values[a] || a - b);
    for (const count of [0, 1, 7, 40, 50]) assert.deepEqual(largest(values, count), sorted.slice(0, count));
    assert.deepEqual(largest(values, 9, 8), sorted.filter((i) => values[i] >= 8).slice(0, 9));
  }
  assert.deepEqual(largest([NaN, 1, -Infinity], 3), [1, 2]);
});
