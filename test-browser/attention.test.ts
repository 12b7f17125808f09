import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.ts';
import { attentionHashes } from './shared/attention.ts';

test('attention kernels give in Chromium the bits they give in Node', async () => {
  const browser = await openBrowser('test-browser/shared/attention.ts');
  try {
    assert.deepEqual(await browser.call('attentionHashes'), await attentionHashes());
  } finally {
    await browser.close();
  }
});
