import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { quantize } from '../src/jobs/quantize-node.ts';
import { openBrowser, type Browser } from './browser.ts';
import { root } from './bundle.ts';
import type { Compared } from './shared/webgpu-kernels-page.ts';
import type { Case } from './shared/webgpu-cases.ts';

const files = new Map<string, Uint8Array>();
let browser: Browser;
let folder: string;
let model: string;
let onnx: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fewbit-webgpu-'));
  model = await gguf('q8_0');
  onnx = await forPages('int4/g32');
  browser = await openBrowser('test-browser/shared/webgpu-kernels-page.ts', { files, webgpu: true });
});

/** The model in a block type, or as an ONNX file in a format, for the browser to fetch. */
async function gguf(weights: string): Promise<string> {
  const { outputs: [{ files: [{ path }] }] } = await quantize({ model: join(root, 'assets/host-llama-shakespeare'), output: join(folder, weights), to: 'gguf', weights, verdict: false });
  files.set(`made/${path}`, await readFile(join(folder, weights, path)));
  return `made/${path}`;
}
async function forPages(weights: string): Promise<string> {
  const name = weights.replace('/', '-');
  const { outputs: [{ file, files: written }] } = await quantize({ model: join(root, 'assets/host-llama-shakespeare'), output: join(folder, name), to: 'transformers.js', weights, verdict: false });
  for (const { path } of written) files.set(`made/${name}/${path}`, await readFile(join(folder, name, path)));
  return `made/${name}/${file}`;
}
after(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

async function skipped(t: TestContext): Promise<boolean> {
  const missing = await browser.call<string | undefined>('missing');
  if (missing !== undefined) t.skip(missing);
  return missing !== undefined;
}

const prompt = Array.from({ length: 12 }, (_, i) => (i * 37 + 11) % 900);

const within = (cases: readonly Case[]): void =>
  assert.deepEqual(cases.filter(({ error, bound }) => !(error <= bound)).map(({ name, error, bound }) => `${name}: ${error} > ${bound}`), []);

test('every WebGPU kernel stays within the bound of its arithmetic around its plain twin', async (t) => {
  if (await skipped(t)) return;
  const cases = await browser.call<Case[]>('kernels', ['stacked', 'betweenProducts', 'attentions', 'products', 'fewBitProducts', 'trellisProducts', 'codedAttentions', 'mixedProducts'], []);
  assert.ok(cases.length > 50, String(cases.length));
  within(cases);
});

test('so do the kernels without subgroups and without dot products of bytes', async (t) => {
  if (await skipped(t)) return;
  within(await browser.call<Case[]>('kernels', ['stacked', 'betweenProducts', 'codedAttentions', 'mixedProducts'], ['subgroups', 'dots']));
});

test('a decoder on WebGPU gives the logits of the decoder on the CPU, and its greedy tokens', async (t) => {
  if (await skipped(t)) return;
  const { rounded, exact, rounding, tokens, cpuTokens } = await browser.call<Compared>('compare', model, prompt, 12);
  // The same sums in another order.
  assert.ok(exact < 1e-4, String(exact));
  // Where inputs are rounded to 8 bits, a last bit turns a code, and by the last layer both are roundings of their own.
  assert.ok(rounded < 1.5 * rounding, `${rounded} ${rounding}`);
  t.diagnostic(`farthest logits ${exact.toExponential(1)}; with rounded inputs ${rounded.toFixed(3)}, which rounding moves by ${rounding.toFixed(3)}`);
  assert.deepEqual(tokens, cpuTokens);
});

/** Bits that a weight takes there; vectors are floats. */
for (const [type, bits] of [['iq4_xs', 5], ['q2_k', 2.625]] as const) {
  test(`weights in ${type} are multiplied by their codes on WebGPU`, async (t) => {
    if (await skipped(t)) return;
    const { rounded, exact, rounding, tokens, cpuTokens, bytes, floats } = await browser.call<Compared>('compare', await gguf(type), prompt, 2);
    t.diagnostic(`farthest logits ${exact.toExponential(1)}; with rounded inputs ${rounded.toFixed(3)}, which rounding moves by ${rounding.toFixed(3)}; ${((32 * bytes) / floats).toFixed(2)} bits a weight`);
    assert.ok(exact < 1e-4, String(exact));
    assert.ok(rounded < 1.5 * rounding, `${rounded} ${rounding}`);
    assert.deepEqual(tokens, cpuTokens);
    assert.ok(32 * bytes < (bits + 0.05) * floats, `${bytes} of ${floats}`);
  });
}

test('openTextModel writes the same on WebGPU, in a page and in a worker', async (t) => {
  if (await skipped(t)) return;
  const expected = await browser.call<string>('written', model, 'cpu');
  assert.ok(expected.length > 8);
  assert.equal(await browser.call('written', model, 'webgpu'), expected);
  assert.equal(await browser.call('inWorker', model), expected);
});

test('ONNX files of integers, tables and trellises write the same on WebGPU as on the CPU, without taking the room of floats', async (t) => {
  if (await skipped(t)) return;
  for (const path of [onnx, await forPages('nf4/g64'), await forPages('tcq3')]) {
    const { text, cpu, device, bytes, floats } = await browser.call<{ text: string; cpu: string; device: string; bytes: number; floats: number }>('fromOnnx', path);
    assert.equal(device, 'webgpu');
    assert.ok(text.length > 4);
    assert.equal(text, cpu);
    assert.ok(bytes < 0.45 * floats, `${path}: ${bytes} of ${floats}`);
  }
});

test('what stands around products of a network on WebGPU is refused, and the model runs on the CPU', async () => {
  const { device, reason } = await browser.call<{ device: string; reason: string }>('withForms', model);
  assert.equal(device, 'cpu');
  assert.match(reason, /^what model\.layers\.0\.\S+ multiplies is sorted, scaled or rounded first, or has a branch of low rank beside it, which the WebGPU engine does not carry out$/);
});

test('a lost device, refused work and a page without WebGPU are told in one line with a way out', async (t) => {
  assert.match(await browser.call('withoutWebGpu'), /^WebGPU is not available here: [^\n]+$/);
  const { device, reason } = await browser.call<{ device: string; reason: string }>('fallenBack', model);
  assert.equal(device, 'cpu');
  assert.match(reason, /^WebGPU is not available here: [^\n]+$/);
  if (await skipped(t)) return;
  assert.match(await browser.call('afterLoss', model), /^the WebGPU device was lost: [^\n]+$/);
  assert.match(await browser.call('afterRefusal'), /^the WebGPU device refused its work: [^\n]+$/);
});
