import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, type Browser } from './browser.ts';
import { distance, type PlainTensors } from './shared/engine.ts';
import { lowBitInputs, lowBitMatMul, lowBitOutputs } from './shared/low-bit.ts';

const files = new Map<string, Uint8Array>();
let browser: Browser;
before(async () => { browser = await openBrowser('test-browser/shared/webgpu-page.ts', { files, webgpu: true }); });
after(() => browser?.close());

test('onnxruntime-web on WebGPU multiplies by the decoded 4-bit weights', async (t) => {
  const missing = await browser.call<string | undefined>('missingAdapter');
  if (missing !== undefined) return t.skip(`WebGPU: ${missing}`);
  const { bytes, weight } = await lowBitMatMul(4);
  files.set('made/low-bit.onnx', bytes);
  const inputs = [1, 5].map(lowBitInputs);
  const feeds = inputs.map((x): PlainTensors => ({ x: { type: 'f32', shape: [x.length / 64, 64], data: Array.from(x) } }));
  const expected = inputs.map((x): PlainTensors => ({ y: { type: 'f32', shape: [x.length / 64, 48], data: Array.from(lowBitOutputs(weight, x)) } }));
  const { outputs, kernels } = await browser.call<{ outputs: PlainTensors[]; kernels: number }>('runModel', 'made/low-bit.onnx', feeds);
  const apart = distance(expected, outputs);
  assert.ok(kernels >= feeds.length, `${kernels} kernels`);
  // Sums of 64 products in float32, in an order that the adapter chooses.
  assert.ok(apart < 1e-5, String(apart));
});
