/** The Studio in Chromium, as a person uses it: open, look, decide, quantize, judge, save; and what goes wrong. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { quantize } from '../src/jobs/quantize-node.ts';
import { root } from './bundle.ts';
import { openStudio, saved, seriousFindings, type Studio } from './studio-page.ts';

let studio: Studio;
let folder: string;
before(async () => {
  studio = await openStudio();
  folder = await mkdtemp(join(tmpdir(), 'fewbit-studio-'));
});
after(async () => {
  await studio?.close();
  await rm(folder, { recursive: true, force: true });
});

const opened = (): ReturnType<Studio['page']> => studio.page();

test('a convolutional network: from the example to files with the bytes of the command, judged on its inputs', async () => {
  const { page, close } = await opened();
  await page.getByRole('button', { name: 'Keyword spotting' }).click();
  await page.locator('details.outline summary').click();
  await page.getByRole('region', { name: 'outline' }).getByRole('row', { name: /^dense\.weight / }).waitFor();
  await page.locator('details.tensors summary').click();
  await page.getByRole('button', { name: 'conv2d_1.weight', exact: true }).click();
  await page.locator('figure .plot svg').first().waitFor();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('button', { name: /example’s inputs/ }).click();
  const row = page.getByRole('region', { name: 'results' }).getByRole('row', { name: /kws-dscnn-int8-channel\.onnx/ });
  await page.getByText('Judged on').waitFor({ timeout: 120_000 });
  assert.match(await row.textContent() ?? '', /91\.02 → 9\d\.\d\d %/);
  assert.equal(await page.locator('code.command').first().textContent(), 'npx fewbit quantize kws-dscnn.onnx --to onnx --weights int8/channel,int4/channel');
  await quantize({ model: join(root, 'assets/kws-dscnn/kws-dscnn.onnx'), to: 'onnx', weights: 'int8/channel,int4/channel', output: join(folder, 'cnn'), verdict: false });
  for (const file of ['kws-dscnn-int8-channel.onnx', 'kws-dscnn-int4-channel.onnx']) {
    assert.ok((await saved(page, file)).equals(await readFile(join(folder, 'cnn', file))), file);
  }
  await close();
});

test('a language model in a Hugging Face folder becomes GGUF, and that file opens again', async () => {
  const { page, close } = await opened();
  await page.getByRole('button', { name: 'Llama on Shakespeare' }).click();
  await page.getByRole('heading', { name: 'host-llama-shakespeare' }).waitFor();
  await page.getByRole('checkbox', { name: /q6_k/ }).uncheck();
  await page.getByRole('checkbox', { name: /q4_k/ }).check();
  await page.getByRole('checkbox', { name: /q8_0/ }).uncheck();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('button', { name: /example’s inputs/ }).click({ timeout: 120_000 });
  await page.getByText('Judged on').waitFor({ timeout: 180_000 });
  const bytes = await saved(page, 'host-llama-shakespeare-Q4_K.gguf');
  await quantize({ model: join(root, 'assets/host-llama-shakespeare'), to: 'gguf', weights: 'q4_k', output: join(folder, 'lm'), verdict: false });
  assert.ok(bytes.equals(await readFile(join(folder, 'lm/host-llama-shakespeare-Q4_K.gguf'))));
  await writeFile(join(folder, 'small.gguf'), bytes);
  await page.getByLabel('model files').setInputFiles(join(folder, 'small.gguf'));
  await page.getByRole('heading', { name: 'small', exact: true }).waitFor();
  await close();
});

test('a budget shares bits between layers, and the slider stops where choices differ', async () => {
  const { page, close } = await opened();
  await page.getByRole('button', { name: 'Keyword spotting' }).click();
  await page.getByRole('button', { name: 'See what sizes can be had' }).click();
  const slider = page.getByRole('slider');
  await slider.waitFor({ timeout: 60_000 });
  await page.locator('figure.front svg').waitFor();
  const steps = Number(await slider.getAttribute('max')) + 1;
  assert.ok(steps > 10, `${steps} steps`);
  const widths = [];
  for (const at of [0, steps - 1]) {
    await slider.fill(String(at));
    widths.push(Number.parseFloat(await slider.getAttribute('aria-valuetext') ?? ''));
  }
  assert.ok(widths[0] < widths[1]);
  await slider.fill(String(Math.floor(steps / 2)));
  const bits = Number.parseFloat(await slider.getAttribute('aria-valuetext') ?? '');
  assert.ok((await page.locator('code.command').first().textContent())!.includes(`--bits ${bits}`));
  await page.getByRole('button', { name: 'Quantize' }).click();
  const row = page.getByRole('row', { name: new RegExp(`kws-dscnn-${bits}bit\\.onnx`) });
  await row.waitFor({ timeout: 60_000 });
  // The file is as large as was asked, or a little smaller.
  const reached = Number.parseFloat((await row.locator('td').nth(4).textContent())!);
  assert.ok(reached <= bits + 0.01 && reached > bits - 0.5, `${reached} of ${bits}`);
  await close();
});

test('sizes that are measured when the sample inputs come are given up, and asked for again with them', async () => {
  const { page, close } = await opened();
  await page.getByRole('button', { name: 'Keyword spotting' }).click();
  await page.getByText('Recipe:').click();
  // In one task: nothing is measured between the two.
  await page.evaluate(`for (const name of ['See what sizes can be had', 'Those of the example']) [...document.querySelectorAll('button')].find(({ textContent }) => textContent === name).click()`);
  await page.getByText(/^Recipe: .*calibrated on inputs\.npy/).waitFor();
  await page.getByRole('button', { name: 'See what sizes can be had' }).click();
  await page.getByRole('slider').waitFor({ timeout: 60_000 });
  await page.locator('figure.front').getByText('mean KL to the float model, nats').waitFor();
  await close();
});

test('the files of a language model go on with a text beside the float model', async () => {
  const { page, close } = await opened();
  await page.getByRole('button', { name: 'Llama on Shakespeare' }).click();
  await page.getByRole('heading', { name: 'host-llama-shakespeare' }).waitFor();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('button', { name: 'Write' }).click({ timeout: 120_000 });
  await page.locator('.texts article').nth(2).waitFor({ timeout: 60_000 });
  const texts = await page.locator('.texts pre').allTextContents();
  assert.equal(texts.length, 3);
  assert.ok(texts.every((text) => text.length > 40));
  await close();
});

test('damaged files and missing parts get a sentence, and the page goes on working', async () => {
  const { page, close } = await opened();
  const whole = await readFile(join(root, 'assets/kws-dscnn/kws-dscnn.onnx'));
  await writeFile(join(folder, 'half.onnx'), whole.subarray(0, whole.length / 2));
  await writeFile(join(folder, 'notes.txt'), 'no model');
  await page.getByLabel('model files').setInputFiles(join(folder, 'half.onnx'));
  await page.getByRole('alert').waitFor();
  await page.getByLabel('model files').setInputFiles(join(folder, 'notes.txt'));
  await page.getByText('no model among the files').waitFor();
  await page.getByText('readable: .onnx and .gguf files').waitFor();
  await page.getByLabel('model files').setInputFiles(join(root, 'assets/kws-dscnn/kws-dscnn.onnx'));
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
  await close();
});

test('the catalogue lists every paper, and finds by words', async () => {
  const { page, close } = await opened();
  await page.getByRole('link', { name: 'Methods', exact: true }).click();
  await page.getByRole('heading', { name: 'Methods', exact: true }).waitFor();
  assert.equal(await page.locator('ul.papers li').count(), 56);
  await page.getByRole('searchbox').fill('svdquant');
  await page.getByText('npx fewbit quantize model --recipe svdquant').waitFor();
  await page.locator('ul.papers summary').click();
  await page.locator('ul.papers figure svg').waitFor();
  const metrics = await page.locator('ul.papers select option').allTextContents();
  assert.ok(metrics.length > 1);
  await page.locator('ul.papers select').selectOption(metrics[1]);
  await page.getByRole('img', { name: `${metrics[1]} of the arms of svdquant` }).waitFor();
  // Experiments that need nothing but this page run in it.
  await page.getByRole('searchbox').fill('quest stable training');
  await page.getByRole('button', { name: 'Run it here' }).click();
  await page.getByRole('status').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Run it here' }).and(page.locator(':enabled')).waitFor();
  // What was measured comes before what was not, and what held before what did not.
  await page.getByRole('searchbox').fill('');
  await page.getByLabel('Order').selectOption('held');
  const shares = (await page.locator('ul.papers summary').allTextContents()).map((text) => { const [, held, all] = /(\d+) of (\d+)/.exec(text)!; return Number(held) / Number(all); });
  assert.deepEqual(shares, shares.toSorted((a, b) => b - a));
  assert.equal(await page.locator('ul.papers li').first().locator('summary').count(), 1);
  const feed = await page.evaluate(async () => new DOMParser().parseFromString(await (await fetch('feed.xml')).text(), 'text/xml').querySelectorAll('entry').length);
  assert.equal(feed, 56);
  await close();
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`no serious findings of accessibility, ${colorScheme}`, async () => {
    const context = await studio.browser.newContext({ colorScheme });
    const page = await context.newPage();
    await page.goto(studio.url);
    const check = async (what: string): Promise<void> => assert.deepEqual((await seriousFindings(page)).map((finding) => `${what}: ${finding}`), []);
    await check('empty page');
    await page.getByRole('button', { name: 'Keyword spotting' }).click();
    await page.locator('details.tensors summary').click();
    await page.getByRole('button', { name: 'conv2d_1.weight', exact: true }).click();
    await page.locator('figure .plot svg').first().waitFor();
    await page.getByRole('button', { name: 'Quantize' }).click();
    await page.getByRole('heading', { name: 'Take' }).waitFor();
    await check('result');
    await page.getByRole('button', { name: /example’s inputs/ }).click();
    for (const name of [/^size and error of 2 files/, /^agreement with the float model/, /^error of 20 weights in 2 files/]) await page.getByRole('img', { name }).locator('svg').first().waitFor({ timeout: 120_000 });
    await check('judged');
    await page.getByRole('button', { name: 'See what sizes can be had' }).click();
    await page.locator('figure.front svg').waitFor();
    await page.getByRole('button', { name: 'Show the plan' }).click();
    await page.getByRole('region', { name: 'plan' }).waitFor();
    await page.locator('details.outline summary').click();
    await page.getByText('Recipe:').click();
    await page.getByRole('region', { name: 'recipes' }).waitFor();
    await page.getByRole('group', { name: 'My inputs' }).getByRole('button', { name: 'Those of the example' }).click();
    await page.getByRole('button', { name: 'See answers to my inputs' }).click();
    await page.locator('section.seen').first().waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Show the report' }).click();
    await page.frameLocator('iframe.report').getByRole('heading', { name: 'Size against error' }).or(page.frameLocator('iframe.report').getByRole('heading', { name: 'Outputs' })).first().waitFor({ timeout: 60_000 });
    await check('everything open');
    await page.reload();
    await page.getByRole('region', { name: 'earlier run of kws-dscnn' }).waitFor();
    await check('an earlier run');
    await page.getByRole('link', { name: 'Methods', exact: true }).click();
    await page.getByRole('heading', { name: 'Methods', exact: true }).waitFor();
    await check('catalogue');
    await context.close();
  });
}

test('once loaded, the page starts and works without a network', async () => {
  const { page, close } = await opened();
  await page.evaluate(() => navigator.serviceWorker.ready.then(({ active }) => new Promise<void>((resolve) => {
    if (active!.state === 'activated') resolve();
    else active!.addEventListener('statechange', () => resolve());
  })));
  await page.context().setOffline(true);
  await page.reload();
  await page.getByRole('button', { name: 'Keyword spotting' }).click();
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
  await page.getByRole('button', { name: 'Quantize' }).click();
  await page.getByRole('heading', { name: 'Take' }).waitFor();
  await page.getByRole('link', { name: 'Methods', exact: true }).click();
  await page.getByRole('heading', { name: 'Methods', exact: true }).waitFor();
  await close();
});

test('before anything is opened the page loads less than 400 kB of script', async () => {
  const { page, close } = await opened();
  const bytes = await page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js')).reduce((sum, entry) => sum + (entry as PerformanceResourceTiming).decodedBodySize, 0));
  assert.ok(bytes > 0 && bytes < 400_000, `${bytes} bytes`);
  await close();
});
