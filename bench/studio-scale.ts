/**
 * The Studio at size: a generated sharded Hugging Face folder (3 GB unless told: `npm run bench studio-scale 6`) is given to
 * the page's folder input, quantized to GGUF Q4_K, reloaded half-way and gone on with. Prints the peak resident memory of
 * Chromium by process and of all together (shared pages counted once), and compares the saved file with the command's byte
 * for byte. The profile lies on disk, as a person's does.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { fileHash } from '../src/jobs/plan-node.ts';
import { serveStudio } from '../src/jobs/studio-node.ts';
import { launchWithProfile } from '../test-browser/browser.ts';
import { buildStudio } from '../test-browser/studio-page.ts';
import { generateModel } from './scale/model.ts';

const gigabytes = Number(process.argv[2] ?? 3);
/** Of the browser, all its processes together. */
const limit = 1.5e9;
const file = 'model-Q4_K.gguf';
const folder = mkdtempSync(join(process.env.FEWBIT_SCRATCH ?? tmpdir(), 'fewbit-studio-scale-'));
const model = join(folder, 'model');

interface Memory { readonly name: string; readonly resident: number; readonly shared: number }

/** Chromium's processes below this one: what each is, its resident bytes, and its share of them where pages are shared. */
function browserProcesses(pid = process.pid): Memory[] {
  const found: Memory[] = [];
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean)) {
        found.push(...browserProcesses(Number(child)));
        const command = readFileSync(`/proc/${child}/cmdline`, 'utf8');
        if (!command.includes('chrom')) continue;
        const rollup = readFileSync(`/proc/${child}/smaps_rollup`, 'utf8');
        const kilobytes = (key: string): number => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? 0);
        found.push({ name: /--type=([\w-]+)/.exec(command)?.[1] ?? 'browser', resident: kilobytes('Rss'), shared: kilobytes('Pss') });
      }
    }
  } catch {
    // A process ended while it was looked at.
  }
  return found;
}

/** Bytes of the file as they lie in the private file system. */
const bytesThere = (page: Page): Promise<number> => page.evaluate(async (name) => {
  const home = await (await navigator.storage.getDirectory()).getDirectoryHandle('runs', { create: true });
  for await (const id of (home as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) {
    const found = await (await home.getDirectoryHandle(id)).getFileHandle(name).catch(() => undefined);
    if (found !== undefined) return (await found.getFile()).size;
  }
  return 0;
}, file);

const MB = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(0)} s`;

let failed = false;
try {
  const { bytes, layers } = await generateModel(model, gigabytes);
  console.log(`${(bytes / 1e9).toFixed(2)} GB in bfloat16, ${layers} layers, sharded`);
  const command = performance.now();
  execFileSync(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', 'quantize', model, '--to', 'gguf', '--weights', 'q4_k', '--recipe', 'rtn', '--no-verdict', '-o', join(folder, 'command')], { stdio: 'ignore' });
  const expected = join(folder, 'command', file);
  const whole = statSync(expected).size;
  console.log(`command: ${seconds(command)}, ${(whole / 1e9).toFixed(2)} GB`);

  const app = await buildStudio();
  const server = await serveStudio({ folder: app, port: 0 });
  const context = await launchWithProfile(join(folder, 'profile'));
  context.setDefaultTimeout(3_600_000);
  const peaks = new Map<string, number>();
  let together = 0;
  const watch = setInterval(() => {
    const now = browserProcesses();
    together = Math.max(together, now.reduce((sum, { shared }) => sum + shared, 0));
    for (const { name, resident } of now) peaks.set(name, Math.max(peaks.get(name) ?? 0, resident));
  }, 250);
  try {
    const page = await context.newPage();
    await page.goto(server.url);
    const opened = performance.now();
    await page.getByLabel('model folder').setInputFiles(model);
    await page.getByRole('heading', { name: 'Decide' }).waitFor();
    console.log(`page: the folder is open after ${seconds(opened)}`);
    await page.getByRole('checkbox', { name: /q8_0/ }).uncheck();
    await page.getByRole('checkbox', { name: /q6_k/ }).uncheck();
    await page.getByRole('checkbox', { name: /q4_k/ }).check();
    const begun = performance.now();
    await page.getByRole('button', { name: 'Quantize' }).click();
    while (await bytesThere(page) < whole / 2) await new Promise((resolve) => setTimeout(resolve, 500));
    console.log(`page: ${(await bytesThere(page) / 1e9).toFixed(2)} GB written after ${seconds(begun)}; ${await page.locator('.busy').innerText().then((text) => text.replaceAll('\n', ', '))}`);
    await page.reload();
    await page.getByRole('button', { name: 'Go on: choose its folder again' }).waitFor();
    const resumed = performance.now();
    await page.getByLabel('files of model', { exact: true }).setInputFiles(model);
    await page.getByText('going on from an earlier run').waitFor();
    console.log(`page: reloaded, and finished ${seconds(resumed)} after the folder was given again`);
    const waiting = page.waitForEvent('download');
    await page.getByRole('row', { name: file }).getByRole('button', { name: 'Save' }).click();
    const equal = await fileHash(await (await waiting).path()) === await fileHash(expected);
    console.log(`${equal ? 'the same bytes as the command’s' : 'DIFFERENT BYTES'}; peak resident: ${[...peaks].map(([name, peak]) => `${name} ${MB(peak)}`).join(', ')}; all processes, shared pages counted once: ${MB(together)} (limit ${MB(limit)})`);
    failed = !equal || together > limit;
  } finally {
    clearInterval(watch);
    await context.close();
    await server.close();
    rmSync(app, { recursive: true, force: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
