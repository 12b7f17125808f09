import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ortNode } from '../src/engine/ort-node.ts';
import { openBrowser, type Browser } from './browser.ts';
import { finetuneKeywords, type KeywordRun } from './shared/finetune.ts';
import { losses, type TrainingCase } from './shared/training.ts';
import { root } from './bundle.ts';

const steps = 12;
let wasm: Browser;
let gpu: Browser;
before(async () => {
  wasm = await openBrowser('test-browser/shared/engine-page.ts');
  gpu = await openBrowser('test-browser/shared/webgpu-page.ts', { webgpu: true });
});
after(async () => {
  await wasm?.close();
  await gpu?.close();
});

/** Every loss within `tolerance` of what it is in Node, in units of the first, and falling. */
async function assertAlike(browser: Browser, what: TrainingCase, tolerance: number): Promise<void> {
  const here = await losses(ortNode, what);
  const there = await browser.call<number[]>('train', what);
  assert.equal(there.length, what.steps);
  assert.ok(Math.abs(there[0] / here[0] - 1) < 1e-5, `first step: ${here[0]} and ${there[0]}`);
  here.forEach((loss, i) => assert.ok(Math.abs(there[i] - loss) < tolerance * here[0], `step ${i + 1}: ${loss} and ${there[i]}`));
  assert.ok(there.at(-1)! < 0.5 * there[0]);
}

test('training in Chromium on WebAssembly follows the losses of Node', () => assertAlike(wasm, { steps, pool: 'MaxPool' }, 1e-3));

// Where two sums differ in their last bit a code may round the other way, and the paths part a little.
test('quantization-aware training in Chromium on WebAssembly follows the losses of Node', () => assertAlike(wasm, { steps, bits: 8, pool: 'MaxPool' }, 0.02));

for (const bits of [undefined, 8]) {
  // The WebGPU kernel of MaxPool has no indices, which its gradient needs; that of Conv is wrong for six input channels (1.30).
  test(`${bits === undefined ? 'training' : 'quantization-aware training'} in Chromium on WebGPU follows the losses of Node`, async (t) => {
    const missing = await gpu.call<string | undefined>('missingAdapter');
    if (missing !== undefined) return t.skip(`WebGPU: ${missing}`);
    await assertAlike(gpu, { steps, pool: 'AveragePool', ...(bits === undefined ? {} : { bits }) }, bits === undefined ? 1e-3 : 0.02);
  });
}

test('a page fine-tunes a model on its own files, and judges what it made', async () => {
  const page = await openBrowser('test-browser/shared/finetune-page.ts');
  try {
    const there = await page.call<KeywordRun>('finetune');
    const here = await finetuneKeywords(ortNode, async (path) => new Blob([await readFile(join(root, path))]));
    assert.equal(there.bytes, here.bytes);
    assert.equal(there.float, here.float);
    assert.ok(Math.abs(there.losses[0] / here.losses[0] - 1) < 0.01, `${here.losses[0]} and ${there.losses[0]}`);
    // Codes may round the other way where sums differ in their last bit, and Adam takes a small gradient's sign as seriously as a large one's.
    here.losses.forEach((loss, i) => assert.ok(Math.abs(there.losses[i] - loss) < 0.1 * here.losses[0], `step ${i + 1}: ${loss} and ${there.losses[i]}`));
    assert.ok(Math.abs(there.accuracy - here.accuracy) <= 3, `${there.accuracy} and ${here.accuracy} %`);
    assert.ok(there.accuracy > 75, `${there.accuracy} %`);
  } finally {
    await page.close();
  }
});
