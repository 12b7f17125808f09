import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.ts';
import { rounderHashes } from './shared/rounders.ts';

test('every rounder gives in Chromium the codes and scales it gives in Node', async () => {
  const browser = await openBrowser('test-browser/shared/rounders.ts');
  try {
    assert.deepEqual(await browser.call('rounderHashes'), await rounderHashes());
  } finally {
    await browser.close();
  }
});
