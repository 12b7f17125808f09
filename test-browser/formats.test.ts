import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { blockTypes, type BlockType } from '../src/tensor-ref.ts';
import { openBrowser, type Browser } from './browser.ts';
import { formatHashes, numericHashes } from './shared/formats.ts';

let browser: Browser;
before(async () => { browser = await openBrowser('test-browser/shared/formats.ts'); });
after(() => browser?.close());

test('every number format gives in Chromium the bytes it gives in Node', async () => {
  const [here, there] = [await formatHashes(), await browser.call<Record<string, string>>('formatHashes')];
  assert.ok(Object.keys(here).length > 150, `${Object.keys(here).length} cases`);
  assert.deepEqual(there, here);
});

test('elementary functions, halves and random numbers have the same bits in Chromium and in Node', async () => {
  assert.deepEqual(await browser.call('numericHashes'), await numericHashes());
});

test('GGUF block types give the published bytes in Chromium', async () => {
  const { gguf } = JSON.parse(readFileSync(new URL('../test/vectors/formats.json', import.meta.url), 'utf8')) as { gguf: Record<string, { input: string; hex: string }> };
  for (const [name, { input, hex }] of Object.entries(gguf)) {
    const type = name.toLowerCase() as BlockType;
    assert.equal(await browser.call('goldenBlock', type, input, blockTypes[type].block), hex, name);
  }
});
