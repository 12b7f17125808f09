import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.ts';
import { sharedCodes, sharedWork } from './shared/shared-work.ts';
import { workerScript } from './worker-script.ts';

test('workers of a page that share products give the bits of one thread', async () => {
  const browser = await openBrowser('test-browser/shared/team-page.ts', { files: new Map([['made/worker.js', await workerScript()]]) });
  try {
    const [alone, two, three] = await browser.call<number[][]>('products', [1, 2, 3]);
    assert.equal(alone.filter((value) => value !== 0).length, 5 * 512);
    assert.deepEqual(two, alone);
    assert.deepEqual(three, alone);
    const { hashes } = await sharedWork();
    for (const threads of [2, 3]) assert.deepEqual(await browser.call('sharedByWorkers', threads), hashes);
    const codes = await sharedCodes();
    for (const threads of [2, 3]) assert.equal(await browser.call('codesByWorkers', threads), codes);
  } finally {
    await browser.close();
  }
});
