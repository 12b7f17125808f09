/** Judging in the page on a person's own inputs: pictures, classes, recipes with data, reports, both backends; and what goes wrong, in a sentence. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Download, Page } from 'playwright-core';
import { serveStudio } from '../src/jobs/studio-node.ts';
import { memorySink } from '../src/files/source.ts';
import { writeOnnx } from '../src/files/onnx.ts';
import { GraphBuilder, ints } from '../src/graph/build.ts';
import { normal } from '../src/numeric/random.ts';
import { encodePng } from '../src/observe/data/index.ts';
import { floatTensor } from '../src/tensor-ref.ts';
import { launchChromium } from './browser.ts';
import { root } from './bundle.ts';
import { openStudio, watched, type Studio } from './studio-page.ts';

const cnn = join(root, 'assets/kws-dscnn/kws-dscnn.onnx');
const webgpu = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

let studio: Studio;
let folder: string;
before(async () => {
  studio = await openStudio();
  folder = await mkdtemp(join(tmpdir(), 'fewbit-judge-'));
  await writeFile(join(folder, 'sharpen.onnx'), await sharpening());
  await writeFile(join(folder, 'odd.onnx'), await withOddOperator());
  for (let i = 0; i < 2; i++) await writeFile(join(folder, `photo${i}.png`), picture(i));
});
after(async () => {
  await studio?.close();
  await rm(folder, { recursive: true, force: true });
});

async function bytesOf(g: GraphBuilder): Promise<Uint8Array> {
  const sink = memorySink();
  await writeOnnx(g.graph(), sink);
  return sink.bytes();
}

/** Images in, images out: 3x3 convolutions to 16 channels and back, near the identity. */
async function sharpening(): Promise<Uint8Array> {
  const g = new GraphBuilder('sharpen', 21);
  const filter = (name: string, out: number, cols: number) => {
    const values = Float32Array.from({ length: out * cols * 9 }, (_, i) => normal(1, out, i) * 0.02);
    for (let c = 0; c < 3; c++) values[(c * cols + c) * 9 + 4] = 1;
    return g.weight(floatTensor(name, [out, cols, 3, 3], values));
  };
  const pads = { pads: ints([1, 1, 1, 1]) };
  const x = g.input('image', 'f32', [1, 3, 'height', 'width']);
  const inner = g.op('Relu', [g.op('Conv', [x, filter('wide', 16, 3)], pads)]);
  g.output(g.op('Conv', [inner, filter('narrow', 3, 16)], pads), 'sharpened', 'f32', [1, 3, 'height', 'width']);
  return bytesOf(g);
}

async function withOddOperator(): Promise<Uint8Array> {
  const g = new GraphBuilder('odd', 21);
  const x = g.input('x', 'f32', [1, 64]);
  const w = g.weight(floatTensor('w', [64, 64], Float32Array.from({ length: 4096 }, (_, i) => normal(1, 0, i))));
  g.output(g.op('NoSuchOperator', [g.op('MatMul', [x, w])]), 'y', 'f32', [1, 64]);
  return bytesOf(g);
}

function picture(seed: number): Uint8Array {
  const [width, height] = [48, 32];
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i * (seed + 3)) % 256;
  return encodePng({ width, height, channels: 3, data });
}

const open = async (page: Page, ...files: string[]): Promise<void> => {
  await page.getByLabel('model files').setInputFiles(files);
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
};

const make = async (page: Page): Promise<void> => {
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('heading', { name: 'Take' }).waitFor({ timeout: 120_000 });
};

test('an image network shows its pictures beside those of the files, with the difference', async () => {
  const { page, close } = await studio.page();
  await open(page, join(folder, 'sharpen.onnx'));
  await make(page);
  await page.getByLabel('My inputs', { exact: true }).and(page.locator('input')).setInputFiles([join(folder, 'photo0.png'), join(folder, 'photo1.png')]);
  await page.getByRole('button', { name: 'See answers to my inputs' }).click();
  await page.locator('section.seen').nth(1).waitFor();
  assert.equal(await page.locator('section.seen').count(), 2);
  // Float, two files, and a difference for each of those.
  assert.equal(await page.locator('section.seen').first().locator('img').count(), 5);
  const sizes = await page.locator('section.seen img').evaluateAll((images) => images.map((image) => `${(image as HTMLImageElement).naturalWidth}x${(image as HTMLImageElement).naturalHeight}`));
  assert.ok(sizes.every((size) => size === '48x32'), sizes.join());
  const decibels = await page.locator('section.seen').first().locator('figcaption').allTextContents();
  const psnr = decibels.slice(1).map((text) => Number.parseFloat(/: ([\d.]+) dB/.exec(text)![1]));
  assert.ok(psnr[0] > psnr[1] && psnr[0] > 40, decibels.join());
  await close();
});

test('a recipe calibrates on given inputs; other inputs judge; the report and manifests name both', async () => {
  const { page, close } = await studio.page();
  await open(page, cnn);
  await page.getByText('Recipe:').click();
  await page.getByRole('radio', { name: 'gptq', exact: true }).and(page.locator(':disabled')).waitFor();
  await page.getByRole('group', { name: /calibrate/ }).getByRole('button', { name: 'Those of the example' }).click();
  await page.getByRole('radio', { name: 'gptq', exact: true }).check();
  assert.equal(await page.locator('code.command').first().textContent(), 'npx fewbit quantize kws-dscnn.onnx --to onnx --weights int8/channel,int4/channel --recipe gptq --data inputs.npy --labels labels.npy');
  await page.getByRole('button', { name: 'Show the plan' }).click();
  await page.getByRole('region', { name: 'plan' }).getByText('gptq').first().waitFor();
  await make(page);
  await page.getByRole('button', { name: /example’s inputs/ }).click();
  await page.getByText('Judged on').waitFor({ timeout: 120_000 });
  const row = await page.getByRole('region', { name: 'results' }).getByRole('row', { name: /int4-channel\.onnx/ }).textContent();
  assert.match(row!, /9\d\.\d\d → 9\d\.\d\d %/);
  // The verdict in a sentence, and as pictures: size against error, agreement, the error of every layer.
  assert.match((await page.locator('.verdict').textContent())!, /^kws-dscnn-int[48]-channel\.onnx is the smallest file/);
  for (const name of [/^size and error of 2 files: int8-channel 34\.\d kB, /, /^agreement with the float model: int8-channel \d+\.\d %; int4-channel 9\d\.\d %/, /^error of 20 weights in 2 files/]) await page.getByRole('img', { name }).locator('svg').first().waitFor();
  const downloads: Download[] = [];
  page.on('download', (download) => downloads.push(download));
  await page.getByRole('button', { name: 'Save the report' }).click();
  while (downloads.length < 5) await page.waitForEvent('download');
  const named = new Map(await Promise.all(downloads.map(async (download) => [download.suggestedFilename(), await readFile(await download.path(), 'utf8')] as const)));
  assert.match(named.get('report.html')!, /<h2>Verdict<\/h2>/);
  const manifest = JSON.parse(named.get('kws-dscnn-int4-channel.onnx.manifest.json')!) as { output: { recipe: string }; source: { files: { path: string; sha256: string }[] }; verdict: { score: { metrics: object[] } } };
  assert.equal(manifest.output.recipe, 'gptq');
  assert.equal(manifest.source.files[0].sha256, createHash('sha256').update(await readFile(cnn)).digest('hex'));
  assert.ok(manifest.verdict.score.metrics.length > 0);
  await close();
});

test('layers that are told so in the table stay float', async () => {
  const { page, close } = await studio.page();
  await open(page, cnn);
  await page.locator('details.tensors summary').click();
  await page.getByRole('combobox', { name: 'format of conv2d_1.weight', exact: true }).selectOption('stays float');
  assert.ok((await page.locator('code.command').first().textContent())!.endsWith("--keep 'conv2d_1.weight'"));
  await page.getByRole('button', { name: 'Show the plan' }).click();
  await page.getByRole('region', { name: 'plan' }).waitFor();
  await make(page);
  await close();
});

test('times on WebGPU where the browser has it', async () => {
  const gpu = await launchChromium(webgpu);
  after(() => gpu.close());
  const { page, close } = await watched(await gpu.newContext(), studio.url);
  await open(page, cnn);
  await make(page);
  await page.getByRole('button', { name: 'Judge on made-up inputs' }).click();
  await page.getByText('Judged on').waitFor({ timeout: 120_000 });
  const row = page.getByRole('row', { name: /int8-channel\.onnx/ });
  const times = await row.locator('td').allTextContents();
  assert.equal(times.filter((text) => /^\d+\.\d\d×$/.test(text)).length, 2, times.join(' | '));
  await page.getByRole('button', { name: 'Llama on Shakespeare' }).click();
  await page.getByRole('heading', { name: 'host-llama-shakespeare' }).waitFor();
  await page.getByRole('checkbox', { name: /q8_0/ }).uncheck();
  await make(page);
  await page.getByRole('button', { name: 'Write' }).click();
  await page.locator('.texts article').nth(1).waitFor({ timeout: 120_000 });
  const speeds = await page.locator('.texts h4').allTextContents();
  assert.ok(speeds.every((text) => /\d+ tokens a second on WASM, \d+ on WebGPU/.test(text)), speeds.join(' | '));
  await close();
});

test('without WebGPU, an operator that the engine lacks, and a missing shard: a sentence each, and the page goes on', async () => {
  const { page, close } = await studio.page();
  await open(page, join(folder, 'odd.onnx'));
  await make(page);
  await page.getByRole('button', { name: 'Judge on made-up inputs' }).click();
  await page.getByRole('alert').filter({ hasText: 'NoSuchOperator' }).waitFor({ timeout: 60_000 });
  const sharded = join(folder, 'sharded');
  await mkdir(sharded, { recursive: true });
  const host = join(root, 'assets/host-llama-shakespeare');
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) await cp(join(host, file), join(sharded, file));
  await cp(join(host, 'model.safetensors'), join(sharded, 'model-00001-of-00002.safetensors'));
  await writeFile(join(sharded, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: { 'model.norm.weight': 'model-00001-of-00002.safetensors', 'lm_head.weight': 'model-00002-of-00002.safetensors' } }));
  await page.getByLabel('model folder').setInputFiles(sharded);
  await page.getByRole('alert').filter({ hasText: 'model-00002-of-00002.safetensors is not among the files' }).waitFor();
  await page.getByText('give all files of the model together').waitFor();
  await open(page, cnn);
  await make(page);
  await page.getByRole('button', { name: 'Judge on made-up inputs' }).click();
  await page.getByText('No time on WebGPU: this browser').waitFor({ timeout: 120_000 });
  await close();
});

test('any host of static files will do: without the headers the page says so, and works on one thread', async () => {
  const plain = await serveStudio({ folder: studio.folder, port: 0, isolated: false });
  const { page, close } = await watched(await studio.browser.newContext(), plain.url);
  await page.getByText('on one thread: the server does not send the two headers').waitFor();
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  await open(page, cnn);
  await make(page);
  await page.getByRole('button', { name: 'Judge on made-up inputs' }).click();
  await page.getByText('Judged on').waitFor({ timeout: 120_000 });
  await close();
  await plain.close();
});

test('a port that is none is refused with the ports there are', async () => {
  for (const port of [Number('abc'), 1.5, -1, 65536]) await assert.rejects(serveStudio({ folder: studio.folder, port }), /ports are whole numbers from 0 to 65535/);
});
