import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.ts';
import { solvedProgram } from './shared/integer-program.ts';

test('integer programs have in Chromium the solution they have in Node', async () => {
  const browser = await openBrowser('test-browser/shared/integer-program.ts');
  try {
    assert.deepEqual(await browser.call('solvedProgram', '/node_modules/highs/build/highs.mjs'), await solvedProgram());
  } finally {
    await browser.close();
  }
});
