/** The hub client itself runs here, @huggingface/hub included; only the host is a server of this test, which speaks the few endpoints in use. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { downloadModel, type DownloadOptions } from '../../src/files/hub-node.ts';
import { isSafeName, neededFiles, parseHubId } from '../../src/files/hub.ts';
import { sendFile, serve, type Server } from './server.ts';

const root = await mkdtemp(join(tmpdir(), 'fewbit-hub-'));
const servers: Server[] = [];
after(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await rm(root, { recursive: true });
});

const sha = '0123456789abcdef0123456789abcdef01234567';
const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const weights = Uint8Array.from({ length: 700_000 }, (_, i) => (i * 31 + (i >> 9)) & 255);
const files = (): Record<string, Uint8Array> => ({
  'config.json': text('{"model_type":"llama"}'), 'tokenizer.json': text('{}'), 'model.safetensors': weights,
  'pytorch_model.bin': new Uint8Array(10), 'onnx/model.onnx': new Uint8Array(10), '.gitattributes': text('x'),
});

interface Hub extends Server { cut: number | undefined; damage: boolean; status: number; readonly tokens: Set<string | undefined> }

/** A hub that holds one model, owner/name. Files of more than 1000 bytes are large files with a SHA-256. */
async function hubOf(content: Record<string, Uint8Array>, listed: Record<string, Uint8Array> = content): Promise<Hub> {
  const state = { cut: undefined as number | undefined, damage: false, status: 200, tokens: new Set<string | undefined>() };
  const server = await serve((request, response) => {
    state.tokens.add(request.headers.authorization);
    const json = (value: unknown): void => { response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value)); };
    const path = decodeURIComponent(new URL(request.url!, 'http://hub').pathname);
    if (path.startsWith('/api/models/owner/name/revision/')) {
      if (path.endsWith('/main') || path.endsWith('/v1') || path.endsWith('/refs/pr/7')) json({ _id: '1', id: 'owner/name', sha, lastModified: '2026-01-01' });
      else response.writeHead(404, { 'x-error-code': 'RevisionNotFound' }).end('{}');
    } else if (path === `/api/models/owner/name/tree/${sha}`) {
      json(Object.entries(listed).map(([name, bytes]) => ({
        type: 'file', path: name, size: bytes.byteLength,
        oid: createHash('sha1').update(`blob ${bytes.byteLength}\0`).update(bytes).digest('hex'),
        ...(bytes.byteLength > 1000 ? { lfs: { oid: createHash('sha256').update(bytes).digest('hex'), size: bytes.byteLength, pointerSize: 130 } } : {}),
      })));
    } else if (path.startsWith(`/owner/name/resolve/${sha}/`) && state.status === 200) {
      const bytes = content[path.slice(`/owner/name/resolve/${sha}/`.length)];
      const sent = state.damage ? bytes.map((byte) => byte ^ 1) : bytes;
      sendFile(request, response, sent, { etag: '"e"', ...(request.headers.range === 'bytes=0-0' ? {} : { cut: state.cut }) });
    } else {
      response.writeHead(state.status === 200 ? 404 : state.status).end('{}');
    }
  });
  servers.push(server);
  return Object.assign(state, server);
}

let caches = 0;
const settings = (hub: Server): DownloadOptions & { cacheFolder: string } =>
  ({ hubUrl: hub.url, cacheFolder: join(root, `cache${caches++}`), token: 'hf_secret', network: { attempts: 2, backoffMs: 1 } });

test('downloads what is needed, once', async () => {
  const hub = await hubOf(files());
  const options = settings(hub);
  const seen: [number, number, string][] = [];
  const folder = await downloadModel('hf:owner/name', { ...options, onProgress: (...step) => { seen.push(step); } });
  assert.equal(folder, join(options.cacheFolder, 'hub', 'owner', sha, 'name'));
  assert.deepEqual((await readdir(folder)).sort(), ['config.json', 'model.safetensors', 'tokenizer.json']);
  assert.deepEqual(new Uint8Array(await readFile(join(folder, 'model.safetensors'))), weights);
  assert.deepEqual(seen.at(-1), [700_024, 700_024, 'model.safetensors']);
  assert.ok(seen.every(([done], i) => i === 0 || done >= seen[i - 1][0]));
  assert.ok(hub.tokens.size === 1 && hub.tokens.has('Bearer hf_secret'));
  const requests = hub.log.length;
  assert.equal(await downloadModel('hf:owner/name@v1', options), folder);
  assert.equal(hub.log.length, requests + 2);
});

test('goes on where an interrupted run stopped', async () => {
  const hub = await hubOf(files());
  const options = settings(hub);
  const folder = join(options.cacheFolder, 'hub', 'owner', sha, 'name');
  // The connection breaks time after time; an earlier run came as far as byte 400 000.
  hub.cut = 10_000;
  await assert.rejects(downloadModel('hf:owner/name', options), { code: 'http.unreachable' });
  await writeFile(join(folder, 'model.safetensors.part'), weights.subarray(0, 400_000));
  hub.cut = undefined;
  hub.log.length = 0;
  await downloadModel('hf:owner/name', options);
  assert.deepEqual(new Uint8Array(await readFile(join(folder, 'model.safetensors'))), weights);
  const begins = hub.log.filter((line) => line.includes('model.safetensors')).map((line) => Number(/bytes=(\d+)/.exec(line)![1]));
  assert.deepEqual(begins.slice(2), [262_144], 'the block that holds byte 400 000');
  assert.ok(!(await readdir(folder)).some((name) => name.endsWith('.part')));
});

test('drops what arrives damaged, and starts anew', async () => {
  for (const part of [undefined, new Uint8Array(400_000), new Uint8Array(700_000)]) {
    const hub = await hubOf(files());
    const options = settings(hub);
    const folder = join(options.cacheFolder, 'hub', 'owner', sha, 'name');
    await mkdir(folder, { recursive: true });
    if (part === undefined) hub.damage = true;
    else await writeFile(join(folder, 'model.safetensors.part'), part);
    await assert.rejects(downloadModel('hf:owner/name', options), { code: 'hub.digest' });
    assert.ok(!(await readdir(folder)).some((name) => name.endsWith('.part')));
    hub.damage = false;
    await downloadModel('hf:owner/name', options);
  }
  const grown = await hubOf(files(), { ...files(), 'model.safetensors': weights.subarray(1) });
  await assert.rejects(downloadModel('hf:owner/name', settings(grown)), { code: 'hub.size' });
});

test('writes nothing outside of the cache folder', async () => {
  for (const name of ['../evil.json', '/etc/evil', 'a/../../evil', 'C:\\evil', 'a\\evil', 'x\u0000', 'nul', 'a//b', './a', 'x.part', 'a:b']) {
    const hub = await hubOf({ ...files(), [name]: text('evil') });
    const options = settings(hub);
    await assert.rejects(downloadModel('hf:owner/name', { ...options, files: () => true }), { code: 'hub.name' });
    await assert.rejects(readdir(options.cacheFolder), { code: 'ENOENT' });
    assert.ok(!isSafeName(name));
  }
  // A link planted in the cache is not written through.
  const hub = await hubOf({ ...files(), 'sub/x.json': text('evil') });
  const options = { ...settings(hub), files: (path: string) => path.endsWith('x.json') || path === 'config.json' };
  const folder = join(options.cacheFolder, 'hub', 'owner', sha, 'name');
  const elsewhere = join(root, 'elsewhere');
  await mkdir(folder, { recursive: true });
  await mkdir(elsewhere);
  await symlink(elsewhere, join(folder, 'sub'));
  await assert.rejects(downloadModel('hf:owner/name', options), { code: 'hub.name' });
  await symlink(join(elsewhere, 'config'), join(folder, 'config.json.part'));
  await rm(join(folder, 'config.json'));
  await assert.rejects(downloadModel('hf:owner/name', options), { name: 'FewbitError' });
  assert.deepEqual(await readdir(elsewhere), []);
});

test('takes one file that the id names, and gives its path', async () => {
  const hub = await hubOf({ 'a-q4.gguf': weights, 'b-q8.gguf': weights, 'README.md': text('card') });
  const options = settings(hub);
  const path = await downloadModel('hf:owner/name@refs/pr/7/a-q4.gguf', options);
  assert.equal((await stat(path)).size, weights.byteLength);
  await assert.rejects(downloadModel('hf:owner/name', options), { code: 'hub.ambiguous', message: /2 GGUF/ });
  await assert.rejects(downloadModel('hf:owner/name/c.gguf', options), { code: 'hub.noFile' });
});

test('tells what is wrong with the id, the token, the access, the network', async () => {
  const hub = await hubOf(files());
  const options = settings(hub);
  for (const id of ['owner/name', 'hf:name', 'hf:owner/name@', 'hf:owner/name@a@b', 'hf:owner/..', 'hf:../name', 'hf:owner/name/../x', 'hf:a b/c', 'hf:owner/name@../x', `hf:${'x'.repeat(500)}`, 'hf:a\n/b']) {
    await assert.rejects(downloadModel(id, options), (error: Error & { code: string }) => error.code === 'hub.id' && error.message.length < 400 && !error.message.includes('\n'));
  }
  await assert.rejects(downloadModel('hf:owner/other', options), { code: 'hub.notFound' });
  await assert.rejects(downloadModel('hf:owner/name@v9', options), { code: 'hub.notFound' });
  await assert.rejects(downloadModel('hf:owner/name', { ...options, token: 'secret' }), { code: 'hub.token' });
  hub.status = 403;
  await assert.rejects(downloadModel('hf:owner/name', options), { code: 'hub.denied' });
  hub.status = 401;
  await assert.rejects(downloadModel('hf:owner/name', options), { code: 'hub.denied' });
  const html = await serve((_, response) => { response.writeHead(200).end('<html>'); });
  await assert.rejects(downloadModel('hf:owner/name', { ...options, hubUrl: html.url }), { code: 'hub.answer' });
  await html.close();
  await assert.rejects(downloadModel('hf:owner/name', { ...options, hubUrl: html.url }), { code: 'hub.unreachable' });
});

test('stops at answers without end, lists without end, and redirects without end', async () => {
  const main = JSON.stringify({ _id: '1', id: 'owner/name', sha, lastModified: '2026-01-01' });
  const hostile = async (list: (request: IncomingMessage, response: ServerResponse, url: string) => void): Promise<Server> => {
    const server = await serve((request, response) => {
      if (request.url!.includes('/revision/')) response.writeHead(200).end(main);
      else list(request, response, server.url);
    });
    servers.push(server);
    return server;
  };
  const endless = await hostile((_, response) => {
    response.writeHead(200).write('[');
    const pour = (): void => { while (!response.destroyed && response.write('{"type":"file","path":"a"},'.repeat(2000))); };
    response.on('drain', pour);
    pour();
  });
  await assert.rejects(downloadModel('hf:owner/name', settings(endless)), { code: 'hub.answer', message: /more than 16777216 bytes/ });
  // Every page is empty, or names the same file, and promises one more.
  for (const page of ['[]', '[{"type":"file","path":"config.json","size":1,"oid":"1"}]']) {
    const turning = await hostile((_, response, url) => { response.writeHead(200, { link: `<${url}/api/models/owner/name/tree/${sha}?cursor=x>; rel="next"` }).end(page); });
    await assert.rejects(downloadModel('hf:owner/name', settings(turning)), { code: 'hub.answer', message: /more than 200 pages/ });
    assert.ok(turning.log.length <= 202);
  }
  const circle = await hostile((request, response) => { response.writeHead(302, { location: `${request.url}x` }).end(); });
  await assert.rejects(downloadModel('hf:owner/name', settings(circle)), { code: 'hub.unreachable' });
  const dripping = await hostile((_, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write('['), 20);
    response.on('close', () => clearInterval(drip));
  });
  await assert.rejects(downloadModel('hf:owner/name', { ...settings(dripping), network: { attempts: 1, silenceMs: 200 } }), (error: Error & { code: string }) => /^hub\.(unreachable|answer)$/.test(error.code));
  for (const bad of ['null', '{}', '[null]', '[7]', '[{"type":"file","path":7}]', '[{"type":"file","path":"model.safetensors","size":-1}]', '[{"type":"file","path":"model.safetensors","size":"9"}]', '<html>']) {
    const server = await hostile((_, response) => { response.writeHead(200).end(bad); });
    await assert.rejects(downloadModel('hf:owner/name', settings(server)), (error: Error & { code: string }) => /^hub\./.test(error.code) && !error.message.includes('\n'), bad);
  }
});

test('picks the weights that a repository holds in one form', () => {
  const hub = parseHubId('hf:owner/name');
  const pick = (...names: string[]): string[] => neededFiles(hub, names);
  assert.deepEqual(pick('config.json', 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json', 'consolidated.safetensors', 'x.bin', 'onnx/model.onnx'),
    ['config.json', 'model.safetensors.index.json', 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']);
  assert.deepEqual(pick('a-00001-of-00002.gguf', 'a-00002-of-00002.gguf', 'README.md'), ['README.md', 'a-00001-of-00002.gguf', 'a-00002-of-00002.gguf']);
  assert.deepEqual(pick('onnx/model.onnx', 'onnx/model.onnx_data', 'onnx/model.onnx_data_1', 'onnx/model_q4.onnx', 'config.json'),
    ['config.json', 'onnx/model.onnx', 'onnx/model.onnx_data', 'onnx/model.onnx_data_1']);
  assert.throws(() => pick('a.onnx', 'b.onnx'), { code: 'hub.ambiguous' });
  assert.throws(() => pick('pytorch_model.bin', 'config.json'), { code: 'hub.noWeights' });
});
