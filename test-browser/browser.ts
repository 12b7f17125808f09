/**
 * The other side of these tests: Chromium without a window, on pages that a server on the loopback device hands out.
 * Nothing else is reachable from it, and a page that asks for anything else fails its test.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { chromium, type Page } from 'playwright-core';
import { sendFile, serve } from '../test/files/server.ts';
import { bundle, root } from './bundle.ts';

/** Where Debian, Ubuntu's runner, Fedora and macOS keep it. */
const places = [
  '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/opt/google/chrome/chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

const quiet = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  // Whatever name a page or the browser itself looks up does not exist.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

/** Only folders that pages need are served. */
const served = ['assets/', 'test/', 'node_modules/onnxruntime-web/dist/', 'node_modules/highs/build/'];

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.json': 'application/json', '.wasm': 'application/wasm',
};

export interface Browser {
  /** Calls a function that the bundled entry exports, in the page; arguments and result travel as JSON. */
  call<T>(name: string, ...args: readonly unknown[]): Promise<T>;
  readonly page: Page;
  close(): Promise<void>;
}

export interface BrowserOptions {
  /** More files for the page, by path such as `made/model.onnx`; looked up when asked for. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** WebGPU on Chromium's software adapter; without it the GPU process is off. */
  readonly webgpu?: boolean;
}

async function answer(request: IncomingMessage, response: ServerResponse, script: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const path = decodeURIComponent(new URL(request.url ?? '/', 'http://page').pathname);
  // Both headers together give the page SharedArrayBuffer, which threads of WASM need.
  const headers = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
  const send = (type: string, body: string | Uint8Array) => void response.writeHead(200, { ...headers, 'content-type': type }).end(body);
  if (path === '/') return send('text/html', '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>fewbit</title>');
  if (path === '/entry.js') return send('text/javascript', script);
  const file = normalize(path.slice(1));
  const made = files.get(file);
  if (made !== undefined) return send('application/octet-stream', made);
  if (!served.some((folder) => file.startsWith(folder)) || !existsSync(join(root, file))) return void response.writeHead(404, headers).end();
  if (request.headers.range !== undefined) return sendFile(request, response, await readFile(join(root, file)));
  send(types[extname(file)] ?? 'application/octet-stream', await readFile(join(root, file)));
}

/** Chromium without a window. */
export const launchChromium = (args: readonly string[] = ['--disable-gpu']): ReturnType<typeof chromium.launch> =>
  chromium.launch({ executablePath: chromiumPath(), headless: true, args: [...quiet, ...args] });

/** The same with a profile on disk: what pages store is in files there, and not in memory. */
export const launchWithProfile = (profile: string, args: readonly string[] = ['--disable-gpu']): ReturnType<typeof chromium.launchPersistentContext> =>
  chromium.launchPersistentContext(profile, { executablePath: chromiumPath(), headless: true, acceptDownloads: true, args: [...quiet, ...args] });

function chromiumPath(): string {
  const found = places.find((path) => existsSync(path));
  if (found === undefined) throw new Error(`no Chromium on this machine (looked for ${places.join(', ')})`);
  return found;
}

/** Starts Chromium on a page that has loaded the bundled entry. */
export async function openBrowser(entry: string, { webgpu = false, files = new Map() }: BrowserOptions = {}): Promise<Browser> {
  const { text: script } = await bundle([entry], { runtime: '/node_modules/onnxruntime-web/dist/' });
  const server = await serve((request, response) => answer(request, response, script, files));
  const chrome = await launchChromium(webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : ['--disable-gpu']);
  const page = await chrome.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('requestfailed', (request) => {
    const reason = request.failure()?.errorText ?? 'unknown';
    // A reader that has all it asked for cancels the rest.
    if (reason !== 'net::ERR_ABORTED') problems.push(`${request.url()} failed: ${reason}`);
  });
  page.on('response', (response) => { if (response.status() >= 400) problems.push(`${response.url()} gave ${response.status()}`); });
  await page.goto(server.url);
  return {
    page,
    async call<T>(name: string, ...args: readonly unknown[]): Promise<T> {
      // Text, not a function: a compiled function would carry helpers that the page does not have.
      const result = await page.evaluate(`import('/entry.js').then((entry) => entry[${JSON.stringify(name)}](...${JSON.stringify(args)}))`) as T;
      if (problems.length > 0) throw new Error(problems.join('; '));
      return result;
    },
    async close() {
      await chrome.close();
      await server.close();
    },
  };
}
