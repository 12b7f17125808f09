/** Threads that share attention and products with inputs of few bits give the bits of one thread. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeTeam } from '../../src/engine/kernels/lowbit-team-node.ts';
import { workerTeam } from '../../src/engine/kernels/lowbit-team-web.ts';
import { sharedCodes, sharedWork } from '../../test-browser/shared/shared-work.ts';

test('attention and products with inputs of few bits: the same bits for two and four threads', async () => {
  const { hashes } = await sharedWork();
  assert.equal(new Set(Object.values(hashes)).size, 9);
  for (const members of [2, 4]) {
    const found = await sharedWork(nodeTeam(members));
    assert.deepEqual(found.hashes, hashes);
    assert.ok(found.shared >= 16, String(found.shared));
  }
});

test('a page that has no shared memory is told what it must send', () => {
  const page = globalThis as { crossOriginIsolated?: boolean };
  page.crossOriginIsolated = false;
  try {
    assert.throws(() => workerTeam(2, () => { throw new Error('no worker is started'); }), { code: 'webTeam.alone', message: /only isolated pages have/ });
  } finally {
    delete page.crossOriginIsolated;
  }
});

test('a network of 8 bits: the same bits for two, four and fifteen threads, which two processors keep waiting', async () => {
  const codes = await sharedCodes();
  for (const members of [2, 4, 15]) assert.equal(await sharedCodes(nodeTeam(members)), codes);
});
