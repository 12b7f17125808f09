/** Formats of single layers, chosen in the table of tensors: in the plan, in the run, in the command, and after a reload. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { quantize } from '../src/jobs/quantize-node.ts';
import { root } from './bundle.ts';
import { openStudio, saved, type Studio } from './studio-page.ts';

const cnn = join(root, 'assets/kws-dscnn/kws-dscnn.onnx');
const llama = join(root, 'assets/host-llama-shakespeare');

let studio: Studio;
let folder: string;
before(async () => {
  studio = await openStudio();
  folder = await mkdtemp(join(tmpdir(), 'fewbit-studio-layers-'));
});
after(async () => {
  await studio?.close();
  await rm(folder, { recursive: true, force: true });
});

const command = async (page: Page): Promise<string> => (await page.locator('code.command').first().textContent())!;
const formatOf = (page: Page, name: string) => page.getByRole('combobox', { name: `format of ${name}`, exact: true });

test('a format per layer is in the plan, the command and the bytes, beside one format and beside a budget', async () => {
  const { page, close } = await studio.page();
  await page.getByRole('button', { name: 'Keyword spotting' }).click();
  await page.locator('details.tensors summary').click();
  assert.deepEqual(await formatOf(page, 'dense.weight').locator('option').allTextContents(), ['as chosen below', 'stays float', 'int8/channel', 'int4/channel', 'int4/g32', 'nf4/b64', 'int3/channel']);
  await formatOf(page, 'dense.weight').selectOption('nf4/b64');
  await formatOf(page, 'conv2d.weight').selectOption('stays float');
  await page.getByRole('searchbox', { name: 'Search' }).fill('depthwise');
  await page.getByRole('combobox', { name: 'Format of the 4 layers found' }).selectOption('int8/channel');
  const layer = `dense.weight=nf4/b64,${[1, 2, 3, 4].map((i) => `depthwise_conv2d_${i}.weight=int8/channel`).join(',')}`;
  await page.getByRole('checkbox', { name: /^int8\/channel/ }).uncheck();
  assert.equal(await command(page), `npx fewbit quantize kws-dscnn.onnx --to onnx --weights int4/channel --keep 'conv2d.weight' --layer '${layer}'`);

  await page.getByRole('button', { name: 'Show the plan' }).click();
  await page.getByText('Formats of all tensors').click();
  const planned = page.getByRole('region', { name: 'plan' });
  assert.match((await planned.getByRole('row', { name: /^dense\.weight/ }).textContent())!, /nf4\/b64.*as asked$/);
  assert.match((await planned.getByRole('row', { name: /^conv2d\.weight/ }).textContent())!, /f32, stays float/);
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('heading', { name: 'Take' }).waitFor({ timeout: 120_000 });
  await quantize({ model: cnn, to: 'onnx', weights: 'int4/channel', keep: 'conv2d.weight', layer, output: folder, verdict: false });
  assert.ok((await saved(page, 'kws-dscnn-int4-channel.onnx')).equals(await readFile(join(folder, 'kws-dscnn-int4-channel.onnx'))));

  await page.getByRole('checkbox', { name: /^int4\/channel/ }).uncheck();
  await page.getByRole('button', { name: 'See what sizes can be had' }).click();
  await page.getByRole('slider').waitFor({ timeout: 120_000 });
  const bits = Number(/--bits (\d+\.\d+)/.exec(await command(page))![1]);
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('row', { name: new RegExp(`kws-dscnn-${bits}bit\\.onnx`) }).waitFor({ timeout: 120_000 });
  const { outputs: [{ tensors }] } = await quantize({ model: cnn, to: 'onnx', bits: String(bits), keep: 'conv2d.weight', layer, output: folder, verdict: false });
  assert.equal(tensors.find(({ name }) => name === 'dense.weight')!.target, 'nf4/b64');
  assert.ok((await saved(page, `kws-dscnn-${bits}bit.onnx`)).equals(await readFile(join(folder, `kws-dscnn-${bits}bit.onnx`))));

  // Another place runs other formats: what it cannot run is given up, and what stays float does.
  await page.getByRole('radio', { name: /The web, on WebGPU/ }).check();
  assert.match(await command(page), /--keep 'conv2d\.weight' --layer 'depthwise_conv2d_1\.weight=int8\/channel,/);
  await page.getByRole('button', { name: 'Give them what all take' }).click();
  assert.ok(!(await command(page)).includes('--layer'));
  await close();
});

test('a run with formats per layer goes on after a reload, and the page shows its command again', async () => {
  const { page, close } = await studio.page();
  await page.getByRole('button', { name: 'Llama on Shakespeare' }).click();
  await page.locator('details.tensors summary').click();
  const [first, second] = ['model.layers.0.mlp.down_proj.weight', 'model.layers.1.mlp.down_proj.weight'];
  await formatOf(page, first).selectOption('q8_0');
  await formatOf(page, second).selectOption('f16');
  for (const format of ['q8_0', 'q6_k', 'q5_k', 'q4_k', 'q3_k', 'q2_k']) await page.getByRole('checkbox', { name: new RegExp(`^${format}`) }).check();
  const before = await command(page);
  assert.ok(before.endsWith(`--layer '${first}=q8_0,${second}=f16'`), before);
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.locator('.busy').getByText(/Q[65432]_K/).waitFor({ timeout: 120_000 });
  await page.reload();
  await page.getByRole('button', { name: 'Go on' }).click({ timeout: 30_000 });
  await page.getByText('going on from an earlier run').waitFor({ timeout: 180_000 });
  assert.equal(await command(page), before);
  await quantize({ model: llama, to: 'gguf', weights: 'q4_k', layer: [`${first}=q8_0`, `${second}=f16`], output: folder, verdict: false });
  assert.ok((await saved(page, 'host-llama-shakespeare-Q4_K.gguf')).equals(await readFile(join(folder, 'host-llama-shakespeare-Q4_K.gguf'))));
  await close();
});
