/** Takes the documentation's pictures of the Studio, light and dark: `npx tsx studio/pictures.ts [folder]`, after `npm run build:studio`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { serveStudio } from '../src/jobs/studio-node.ts';
import { launchChromium } from '../test-browser/browser.ts';

const folder = process.argv[2] ?? 'docs/images';
mkdirSync(folder, { recursive: true });
const patience = 300_000;

async function openExample(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name }).click();
  await page.getByRole('heading', { name: 'Decide' }).waitFor();
}

/** Each leads the page to what its picture shows. */
const pictures: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  async open() {},
  async see(page) {
    await openExample(page, 'Keyword spotting');
    await page.locator('details.tensors summary').click();
    await page.getByRole('button', { name: 'conv2d_1.weight', exact: true }).click();
    await page.locator('figure .plot svg').first().waitFor();
    await page.getByRole('button', { name: 'Compare formats on all layers' }).click();
    await page.getByRole('img', { name: /layers in/ }).locator('svg').first().waitFor();
    await page.locator('section[aria-labelledby=model-title]').scrollIntoViewIfNeeded();
  },
  async decide(page) {
    await openExample(page, 'Llama on Shakespeare');
    await page.getByRole('button', { name: 'See what sizes can be had' }).click();
    await page.locator('figure.front svg').waitFor();
    await page.getByRole('button', { name: 'Show the plan' }).click();
    await page.getByRole('region', { name: 'plan' }).waitFor();
    await page.getByRole('heading', { name: 'Decide' }).scrollIntoViewIfNeeded();
  },
  async judge(page) {
    await openExample(page, 'Llama on Shakespeare');
    await page.getByRole('checkbox', { name: /q4_k/ }).check();
    await page.getByRole('button', { name: 'Quantize' }).click();
    await page.getByRole('button', { name: /example’s inputs/ }).click();
    await page.getByText('Judged on').waitFor();
    await page.getByRole('img', { name: /^error of/ }).locator('svg').first().waitFor();
    await page.getByRole('heading', { name: 'Take' }).scrollIntoViewIfNeeded();
  },
  async methods(page) {
    await page.getByRole('link', { name: 'Methods', exact: true }).click();
    await page.getByRole('searchbox').fill('svdquant');
    await page.locator('ul.papers summary').click();
    await page.locator('ul.papers figure svg').waitFor();
    await page.locator('ul.papers h2').evaluate((title) => title.scrollIntoView());
  },
};

/** What each picture is cut to: a part of the page, or its first screen. */
const parts: Readonly<Record<string, string>> = { see: 'section[aria-labelledby=model-title]', decide: 'section[aria-labelledby=decide-title]', judge: 'section[aria-labelledby=result-title]' };

/** A quarter of the bytes of a PNG, and its letters stay sharp. */
async function asWebp(page: Page, png: Buffer): Promise<Buffer> {
  const url = await page.evaluate(async (source) => {
    const image = await createImageBitmap(await (await fetch(source)).blob());
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    canvas.getContext('2d')!.drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', 0.8);
  }, `data:image/png;base64,${png.toString('base64')}`);
  return Buffer.from(url.slice(url.indexOf(',') + 1), 'base64');
}

const server = await serveStudio({ port: 0 });
const browser = await launchChromium();
for (const [name, lead] of Object.entries(pictures)) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 760 } });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  await page.goto(server.url);
  await lead(page);
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const shot = parts[name] === undefined ? await page.screenshot() : await page.locator(parts[name]).screenshot();
    writeFileSync(join(folder, `studio-${name}-${colorScheme}.webp`), await asWebp(page, shot));
  }
  await context.close();
}
await browser.close();
await server.close();
