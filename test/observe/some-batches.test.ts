import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Feeds } from '../../src/engine/session.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { someBatches } from '../../src/observe/some-batches.ts';

const batches = Array.from({ length: 8 }, (_, i): Feeds => ({ t: i64([4], [i, i, i, i]) }));

test('whole batches are spread over all of them', async () => {
  const { feeds, samples } = await someBatches(batches, 16);
  assert.deepEqual(feeds.map(({ t }) => Number(t.data[0])), [1, 3, 5, 7]);
  assert.equal(samples, 16);
});

test('few batches are all taken, none is an error', async () => {
  assert.equal((await someBatches(batches, 100)).samples, 32);
  assert.equal((await someBatches(batches, 1)).samples, 4);
  await assert.rejects(someBatches([], 4), /no batch/);
});
