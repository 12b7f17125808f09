/** A run that a reload interrupts goes on from what lies in the private file system; models of a hub are read by ranges. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { quantize } from '../src/jobs/quantize-node.ts';
import { sendFile, serve, type Server } from '../test/files/server.ts';
import { root } from './bundle.ts';
import { openStudio, saved, type Studio } from './studio-page.ts';

const host = join(root, 'assets/host-llama-shakespeare');
/** Of llama.cpp, from the first to the last on the page. */
const formats = ['q8_0', 'q6_k', 'q5_k', 'q4_k', 'q3_k', 'q2_k'];
const files = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];

let studio: Studio;
let folder: string;
let hub: Server;
before(async () => {
  studio = await openStudio();
  folder = await mkdtemp(join(tmpdir(), 'fewbit-resume-'));
  hub = await hubOf(new Map(await Promise.all(files.map(async (file) => [file, new Uint8Array(await readFile(join(host, file)))] as const))));
  await quantize({ model: host, to: 'gguf', weights: 'q8_0,q6_k', output: folder, verdict: false });
  await cp(host, join(folder, 'small'), { recursive: true });
  await writeFile(join(folder, 'lines.txt'), (await readFile(join(root, 'assets/shakespeare/heldout.txt'), 'utf8')).slice(0, 4000));
});
after(async () => {
  await studio?.close();
  await hub?.close();
  await rm(folder, { recursive: true, force: true });
});

const inNode = (file: string): Promise<Buffer> => readFile(join(folder, file));

/** Ranges that begin at this byte or later get no answer. */
const silent = { from: Infinity };

/** A hub that holds one model, owner/small, and lets pages of other origins read it, as the real one does. */
async function hubOf(content: ReadonlyMap<string, Uint8Array>): Promise<Server> {
  const sha = '0123456789abcdef0123456789abcdef01234567';
  return serve((request, response) => {
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-allow-headers', '*');
    response.setHeader('access-control-expose-headers', 'ETag, Link, Content-Range, Accept-Ranges, X-Error-Code');
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    const path = decodeURIComponent(new URL(request.url!, 'http://hub').pathname);
    const json = (value: unknown): void => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value)); };
    if (path === '/api/models/owner/small/revision/main') return json({ _id: '1', id: 'owner/small', sha, lastModified: '2026-01-01' });
    if (path === `/api/models/owner/small/tree/${sha}`) {
      return json([...content].map(([name, bytes]) => ({ type: 'file', path: name, size: bytes.byteLength, oid: createHash('sha1').update(bytes).digest('hex') })));
    }
    const bytes = content.get(path.replace(`/owner/small/resolve/${sha}/`, ''));
    if (bytes === undefined) return void response.writeHead(404, { 'x-error-code': 'RepoNotFound' }).end('{}');
    if (Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) >= silent.from) return;
    sendFile(request, response, bytes, { etag: '"e"' });
  });
}

/** Until some tensors of a file are written and journaled. */
const growing = (page: Page, file: string): Promise<void> => page.evaluate(async (name) => {
  const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('runs', { create: true });
  for (;;) {
    for await (const id of (home as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) {
      const run = await home.getDirectoryHandle(id);
      const journal = await run.getFileHandle(`${name}.journal`).catch(() => undefined);
      if (journal !== undefined && (await (await journal.getFile()).text()).split('\n').length > 5) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}, file);

const sizesKept = (page: Page): Promise<Record<string, number>> => page.evaluate(async () => {
  const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('runs');
  const found: Record<string, number> = {};
  for await (const id of (home as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) {
    const run = await home.getDirectoryHandle(id);
    for await (const name of (run as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) found[name] = (await (await run.getFileHandle(name)).getFile()).size;
  }
  return found;
});

/** Presses a button and then Cancel, as soon as there is one. */
const cancelled = (page: Page, label: string): Promise<void> => page.evaluate(`(async () => {
  const find = (text) => [...document.querySelectorAll('button')].find((button) => button.textContent === text);
  find(${JSON.stringify(label)}).click();
  while (find('Cancel') === undefined) await new Promise((resolve) => setTimeout(resolve));
  find('Cancel').click();
})()`);

test('a run that a reload interrupts goes on, and its files have the bytes of the command', async () => {
  const { page, close } = await studio.page();
  await page.getByRole('button', { name: 'Llama on Shakespeare' }).click();
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
  // Files enough that the run lasts: the first is finished when the page reloads itself, and the last are not begun.
  for (const format of formats) await page.getByRole('checkbox', { name: new RegExp(`^${format}`) }).check();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await growing(page, `host-llama-shakespeare-${formats[1].toUpperCase()}.gguf`);
  await page.reload();
  await page.getByRole('region', { name: 'earlier run of host-llama-shakespeare' }).getByText('interrupted').waitFor();
  const kept = await sizesKept(page);
  assert.ok(kept['host-llama-shakespeare-Q8_0.gguf.finished'] > 0);
  assert.ok(formats.some((format) => kept[`host-llama-shakespeare-${format.toUpperCase()}.gguf.finished`] === undefined));
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('going on from an earlier run').waitFor({ timeout: 120_000 });
  for (const file of ['host-llama-shakespeare-Q8_0.gguf', 'host-llama-shakespeare-Q6_K.gguf']) assert.ok((await saved(page, file)).equals(await inNode(file)), file);
  // Finished files outlive a reload too, until they are dropped.
  await page.reload();
  await page.getByText(`finished, ${formats.length} files`).waitFor();
  await page.getByRole('button', { name: 'Drop it' }).click();
  await page.getByText(`finished, ${formats.length} files`).waitFor({ state: 'detached' });
  assert.deepEqual(await sizesKept(page), {});
  await close();
});

test('after a cancelled judgement the files that were made are still there to judge', async () => {
  const { page, close } = await studio.page();
  await page.getByRole('button', { name: 'Keyword spotting' }).click();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('heading', { name: 'Take' }).waitFor({ timeout: 60_000 });
  await cancelled(page, 'Judge on made-up inputs');
  await page.getByRole('button', { name: 'Judge on made-up inputs' }).click();
  await page.getByText('Judged on').waitFor({ timeout: 120_000 });
  assert.match((await page.getByRole('row', { name: /int8-channel\.onnx/ }).textContent())!, /\d+\.\d dB/);
  // The folder is held again: no other tab offers it.
  assert.equal(await page.locator('.left-run').count(), 0);
  assert.ok(await page.evaluate(async () => (await navigator.locks.query()).held!.some(({ name }) => name!.startsWith('fewbit-run-'))));
  assert.ok((await saved(page, /int8-channel\.onnx/)).byteLength > 10_000);
  await close();
});

test('files that were chosen are asked for again, and others are refused', async () => {
  const { page, close } = await studio.page();
  const input = page.getByLabel('model files');
  await input.setInputFiles(files.map((file) => join(host, file)));
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await growing(page, 'model-Q8_0.gguf');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('interrupted').waitFor();
  await page.getByLabel('files of model', { exact: true }).setInputFiles(join(root, 'assets/kws-dscnn/kws-dscnn.onnx'));
  await page.getByText('these are not the files that model was made from').waitFor();
  await page.getByLabel('files of model', { exact: true }).setInputFiles(files.map((file) => join(host, file)));
  await page.getByText('going on from an earlier run').waitFor({ timeout: 60_000 });
  assert.ok((await saved(page, 'model-Q6_K.gguf')).byteLength > 1e6);
  await close();
});

test('an id of a hub is read by ranges, quantized, and goes on where a reload cut it', async () => {
  const { page, close } = await studio.page();
  await page.goto(`${studio.url}?hub=${hub.url}`);
  await page.getByLabel('Hugging Face id').fill('owner/none');
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  await page.getByText('hf:owner/none: not in the hub, or private').waitFor();
  await page.getByLabel('Hugging Face id').fill('owner/small');
  await page.getByRole('button', { name: 'Open', exact: true }).click();
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
  assert.match((await page.locator('code.command').first().textContent())!, /^npx fewbit quantize hf:owner\/small /);
  // The hub keeps the last weights back: the first file cannot be finished before the reload, however fast the machine is.
  silent.from = 12_582_912;
  await page.getByRole('button', { name: 'Quantize' }).click();
  await growing(page, 'small-Q8_0.gguf');
  await page.reload();
  silent.from = Infinity;
  await page.getByRole('region', { name: 'earlier run of small' }).getByText('interrupted').waitFor();
  const whole = await quantize({ model: join(folder, 'small'), to: 'gguf', weights: 'q8_0,q6_k', output: join(folder, 'hub'), verdict: false });
  const [kept, size] = [(await sizesKept(page))['small-Q8_0.gguf'], whole.outputs[0].files[0].bytes];
  assert.ok(kept > 0 && kept < size, `${kept} of ${size}`);
  const seen = hub.log.length;
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('going on from an earlier run').waitFor({ timeout: 60_000 });
  assert.ok(hub.log.slice(seen).some((line) => /GET .*model\.safetensors bytes=\d+-\d+$/.test(line)));
  for (const file of ['small-Q8_0.gguf', 'small-Q6_K.gguf']) assert.ok((await saved(page, file)).equals(await inNode(`hub/${file}`)), file);
  await close();
});

/** Names and texts of the figures that this browser keeps, and how many layers and other large things. */
const measuredIn = (page: Page): Promise<{ figures: Record<string, Record<string, number>>; large: number }> => page.evaluate(async () => {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('measured', { create: true });
  const figures: Record<string, Record<string, number>> = {};
  let large = 0;
  for await (const name of (folder as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) {
    if (name.endsWith('.json')) figures[name] = (JSON.parse(await (await (await folder.getFileHandle(name)).getFile()).text()) as { values: Record<string, number> }).values;
    else if (name.endsWith('.bin')) large++;
  }
  return { figures, large };
});

/** All that the place offers: a hundred layers and more, so that the run lasts. */
const calibratedFormats = ['int8/channel', 'int4/g32', 'nf4/b64', 'uint2/g32'];

async function calibrate(page: Page): Promise<void> {
  await page.getByLabel('model files').setInputFiles(files.map((file) => join(host, file)));
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
  await page.getByRole('radio', { name: /^ONNX Runtime/ }).check();
  for (const format of calibratedFormats) await page.getByRole('checkbox', { name: new RegExp(`^${format}`) }).check();
  await page.getByText('Recipe:').click();
  await page.getByLabel('Sample inputs that calibrate', { exact: true }).and(page.locator('input')).setInputFiles(join(folder, 'lines.txt'));
  await page.getByRole('radio', { name: 'gptq', exact: true }).check();
  await page.getByRole('button', { name: 'Quantize' }).click();
}

test('a calibrated run that a reload interrupts goes on with what was measured, and its files have the same bytes', async () => {
  const { page, close } = await studio.page();
  await calibrate(page);
  // The engine holds the 14 MB of weights more than once, in memories that the browser's own count leaves out.
  await page.locator('.memory').filter({ hasText: /([4-9]\d\.\d|\d{3}) MB of memory/ }).waitFor({ timeout: 120_000 });
  while ((await measuredIn(page)).large < 4) await new Promise((resolve) => setTimeout(resolve, 20));
  await page.reload();
  await page.getByRole('region', { name: 'earlier run of model' }).getByText('interrupted').waitFor();
  const before = await measuredIn(page);
  const engines: string[] = [];
  page.on('request', (request) => { if (/ort[^/]*\.wasm$/.test(request.url())) engines.push(request.url()); });
  await page.getByRole('button', { name: 'Go on: choose its files again' }).click();
  await page.getByLabel('files of model', { exact: true }).setInputFiles(files.map((file) => join(host, file)));
  await page.getByRole('button', { name: 'Go on: choose lines.txt again' }).click();
  await page.getByLabel('sample inputs of model', { exact: true }).setInputFiles(join(host, 'config.json'));
  await page.getByText('these are not the sample inputs that model was calibrated on').waitFor();
  await page.getByRole('button', { name: 'Go on: choose lines.txt again' }).click();
  await page.getByLabel('sample inputs of model', { exact: true }).setInputFiles(join(folder, 'lines.txt'));
  await page.getByText('going on from an earlier run').waitFor({ timeout: 180_000 });
  // No engine was even loaded: moments and finished layers are those of the first run, the others followed from the moments.
  assert.deepEqual(engines, []);
  assert.equal((await measuredIn(page)).large, 1 + 42 * calibratedFormats.length, `${before.large} before`);
  const whole = await studio.page();
  await calibrate(whole.page);
  await whole.page.getByRole('heading', { name: 'Take' }).waitFor({ timeout: 180_000 });
  for (const format of ['int8-channel', 'int4-g32', 'nf4-b64']) assert.ok((await saved(page, new RegExp(`${format}\\.onnx`))).equals(await saved(whole.page, new RegExp(`${format}\\.onnx`))), format);
  await whole.close();
  await close();
});

test('the slider and the run measure each layer once, and once for every budget and visit', async () => {
  const { page, close } = await studio.page();
  const decide = async (): Promise<void> => {
    await page.getByRole('button', { name: 'Keyword spotting' }).click();
    await page.getByText('Recipe:').click();
    await page.getByRole('group', { name: /calibrate/ }).getByRole('button', { name: 'Those of the example' }).click();
    // Sizes are those of the inputs that are here when they are asked for.
    await page.getByText(/^Recipe: .*calibrated on inputs\.npy/).waitFor();
    await page.getByRole('button', { name: 'See what sizes can be had' }).click();
    await page.getByRole('slider').waitFor({ timeout: 120_000 });
  };
  const single = async (): Promise<Record<string, number>> => {
    const { figures } = await measuredIn(page);
    assert.equal(Object.keys(figures).length, 1);
    return Object.fromEntries(Object.entries(Object.values(figures)[0]).filter(([name]) => !name.startsWith('together')));
  };
  await decide();
  const measured = await single();
  assert.ok(Object.keys(measured).length > 10);
  await page.getByText('mean KL to the float model, nats').waitFor();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('heading', { name: 'Take' }).waitFor({ timeout: 120_000 });
  assert.deepEqual(await single(), measured);
  await page.reload();
  const engines: string[] = [];
  page.on('request', (request) => { if (/ort[^/]*\.wasm$/.test(request.url())) engines.push(request.url()); });
  await decide();
  assert.deepEqual(engines, []);
  await page.getByRole('slider').fill('2');
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('heading', { name: 'Take' }).waitFor({ timeout: 120_000 });
  assert.deepEqual(await single(), measured);
  await close();
});
