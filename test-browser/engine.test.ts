import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ortNode } from '../src/engine/ort-node.ts';
import { readNpy } from '../src/observe/data/npy.ts';
import { openBrowser, type Browser } from './browser.ts';
import { root } from './bundle.ts';
import { distance, runOn, type PlainTensors } from './shared/engine.ts';
import { lowBitInputs, lowBitMatMul, lowBitOutputs } from './shared/low-bit.ts';

const files = new Map<string, Uint8Array>();
let browser: Browser;
before(async () => { browser = await openBrowser('test-browser/shared/engine-page.ts', { files }); });
after(() => browser?.close());

/** Keyword-spotting inputs, eight at a time. */
async function keywordFeeds(batches: number): Promise<PlainTensors[]> {
  const { data, shape } = readNpy(await readFile(join(root, 'assets/kws-dscnn/inputs.npy')));
  const size = shape.slice(1).reduce((a, b) => a * b, 1);
  return Array.from({ length: batches }, (_, i) => (
    { input: { type: 'f32', shape: [8, ...shape.slice(1)], data: Array.from(data.subarray(i * 8 * size, (i + 1) * 8 * size) as Float32Array) } }));
}

test('the float keyword-spotting network gives in onnxruntime-web what it gives in onnxruntime-node', async () => {
  const bytes = await readFile(join(root, 'assets/kws-dscnn/kws-dscnn.onnx'));
  const feeds = await keywordFeeds(2);
  const there = await browser.call<PlainTensors[]>('runModel', 'assets/kws-dscnn/kws-dscnn.onnx', feeds);
  const apart = distance(await runOn(ortNode, bytes, feeds), there);
  assert.ok(apart < 1e-5, String(apart));
});

for (const bits of [2, 4, 8] as const) {
  test(`MatMulNBits of ${bits} bits multiplies by the decoded weights in onnxruntime-web and in onnxruntime-node`, async () => {
    const { bytes, weight } = await lowBitMatMul(bits);
    files.set(`made/low-bit-${bits}.onnx`, bytes);
    const inputs = [1, 5].map(lowBitInputs);
    const feeds = inputs.map((x): PlainTensors => ({ x: { type: 'f32', shape: [x.length / 64, 64], data: Array.from(x) } }));
    const expected = inputs.map((x): PlainTensors => ({ y: { type: 'f32', shape: [x.length / 64, 48], data: Array.from(lowBitOutputs(weight, x)) } }));
    const there = await browser.call<PlainTensors[]>('runModel', `made/low-bit-${bits}.onnx`, feeds);
    const apart = [distance(expected, there), distance(expected, await runOn(ortNode, bytes, feeds))];
    assert.ok(Math.max(...apart) < 1e-5, apart.join(', '));
  });
}
