import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBrowser } from './browser.ts';
import { builds, ofBuild, ofTwins } from './shared/relaxed.ts';

test('relaxed builds pass their tests in Chromium and give the bits of the plain twins; so do the plain builds, which Node takes', async () => {
  const expected = await ofTwins();
  const browser = await openBrowser('test-browser/shared/relaxed.ts');
  try {
    assert.deepEqual(new Set(Object.values(await browser.call<object>('builds'))), new Set(['relaxed SIMD']));
    for (const build of ['relaxed SIMD', 'plain SIMD']) assert.deepEqual(await browser.call('ofBuild', build), expected);
  } finally {
    await browser.close();
  }
  assert.deepEqual(await ofBuild('plain SIMD'), expected);
  assert.equal(new Set(Object.values(builds())).size, 1);
});
