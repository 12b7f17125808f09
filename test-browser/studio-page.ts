/** The Studio as it is now, built into a folder of its own, and Chromium to open it in. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { serveStudio } from '../src/jobs/studio-node.ts';
import { launchChromium } from './browser.ts';
import { root } from './bundle.ts';

export interface Studio {
  readonly url: string;
  readonly browser: Browser;
  /** The built app. */
  readonly folder: string;
  /** A page whose errors fail the test when it is closed. */
  page(): Promise<{ readonly page: Page; close(): Promise<void> }>;
  close(): Promise<void>;
}

export async function buildStudio(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-studio-build-'));
  await promisify(execFile)('npx', ['vite', 'build', '-c', 'studio/vite.config.ts', '--outDir', folder, '--logLevel', 'error'], { cwd: root });
  return folder;
}

/** A page of a context that is closed with it; errors that nobody caught fail the test then. */
export async function watched(context: BrowserContext, url: string): Promise<{ readonly page: Page; close(): Promise<void> }> {
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(error.message));
  await page.goto(url);
  return { page, close: async () => { await context.close(); assert.deepEqual(wrong, []); } };
}

export async function openStudio(): Promise<Studio> {
  const folder = await buildStudio();
  const server = await serveStudio({ folder, port: 0 });
  const browser = await launchChromium();
  return {
    url: server.url, browser, folder,
    page: async () => watched(await browser.newContext({ acceptDownloads: true }), server.url),
    async close() {
      await browser.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What axe finds serious or worse in the page as it stands, a line each. */
export async function seriousFindings(page: Page): Promise<string[]> {
  await page.addScriptTag({ path: join(root, 'node_modules/axe-core/axe.min.js') });
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { target: string[]; failureSummary: string }[] }[] }> } }).axe.run());
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${id} at ${nodes[0].target.join(' ')}: ${nodes[0].failureSummary}`);
}

/** The bytes that a click on a row's Save button brings. */
export async function saved(page: Page, row: string | RegExp): Promise<Buffer> {
  const waiting = page.waitForEvent('download');
  await page.getByRole('row', { name: row }).getByRole('button', { name: 'Save' }).click();
  return readFile(await (await waiting).path());
}
