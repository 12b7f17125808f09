import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createServer } from 'node:net';
import { openUrl, urlFolder, type UrlOptions } from '../../src/files/http.ts';
import { openSafetensors, writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySink } from '../../src/files/source.ts';
import { copyTensor, floatTensor } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';
import { sendFile, serve, type Handler, type Server } from './server.ts';

const servers: Server[] = [];
after(() => Promise.all(servers.map((server) => server.close())));
const start = async (handler: Handler): Promise<Server> => {
  const server = await serve(handler);
  servers.push(server);
  return server;
};
const quick: UrlOptions = { backoffMs: 1, attempts: 3 };
const data = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);
const small: UrlOptions = { ...quick, blockBytes: 1000 };

test('reads ranges, and takes many small reads from few requests', async () => {
  const server = await start((request, response) => sendFile(request, response, data));
  const source = await openUrl(`${server.url}/model.bin?signature=secret`, small);
  assert.equal(source.size, data.byteLength);
  assert.ok(!source.name.includes('secret'));
  for (let at = 0; at < 3000; at += 10) assert.deepEqual(await source.read(at, at + 10), data.slice(at, at + 10));
  assert.equal(server.log.length, 3);
  // Blocks 4 to 8 in one request, the missing ones of 3 to 10 in two.
  await source.read(4000, 8999);
  assert.deepEqual(await source.read(3500, 10_500), data.slice(3500, 10_500));
  assert.deepEqual(server.log.slice(3).map((line) => line.split('bytes=')[1]), ['4000-8999', '3000-3999', '9000-10999']);
  // Large reads ask for exactly what they need.
  assert.deepEqual(await source.read(20_001, 90_003), data.slice(20_001, 90_003));
  assert.ok(server.log.at(-1)!.endsWith('20001-90002'));
  assert.deepEqual(await source.read(99_990, 100_000), data.slice(99_990));
  assert.equal((await source.read(5, 5)).byteLength, 0);
  await assert.rejects(source.read(99_999, 100_001), { code: 'http.range' });
  await source.close();
});

test('reads overlapping ranges at once without asking twice', async () => {
  const server = await start((request, response) => sendFile(request, response, data));
  const source = await openUrl(server.url, small);
  const parts = await Promise.all([source.read(5000, 5010), source.read(5990, 6010), source.read(5100, 5900)]);
  assert.deepEqual(parts[1], data.slice(5990, 6010));
  assert.equal(server.log.length, 3);
});

test('opens a safetensors file behind a URL', async () => {
  const sink = memorySink();
  await writeSafetensors(sink, [copyTensor(floatTensor('w', [2, 2], new Float32Array([1, 2, 3, 4])))]);
  const server = await start((request, response) => sendFile(request, response, sink.bytes()));
  const { tensors } = await openSafetensors(await openUrl(server.url, quick));
  assert.deepEqual(await readFloats(tensors.get('w')!), new Float32Array([1, 2, 3, 4]));
  assert.equal(server.log.length, 1);
});

test('reads whole what a server without ranges sends, up to the limit', async () => {
  const server = await start((request, response) => sendFile(request, response, data, { ranges: false }));
  const source = await openUrl(server.url, quick);
  assert.deepEqual(await source.read(10, 20), data.slice(10, 20));
  await assert.rejects(openUrl(server.url, { ...quick, maxWholeBytes: 99_999 }), { code: 'http.noRanges' });
  const unannounced = await start((_, response) => { response.write(data); response.end(data); });
  assert.equal((await openUrl(unannounced.url, quick)).size, 200_000);
  await assert.rejects(openUrl(unannounced.url, { ...quick, maxWholeBytes: 150_000 }), { code: 'http.noRanges' });
});

test('asks for the size apart when the ranges do not tell it', async () => {
  const server = await start((request, response) => {
    if (request.method === 'HEAD') response.writeHead(200, { 'content-length': data.byteLength }).end();
    else {
      const [begin, end] = /(\d+)-(\d+)/.exec(request.headers.range!)!.slice(1).map(Number);
      response.writeHead(206).end(data.subarray(begin, end + 1));
    }
  });
  const source = await openUrl(server.url, small);
  assert.deepEqual(await source.read(50_000, 50_005), data.slice(50_000, 50_005));
  const silent = await start((request, response) => { if (request.method === 'HEAD') response.end(); else response.writeHead(206).end('x'); });
  await assert.rejects(openUrl(silent.url, quick), { code: 'http.noSize' });
});

test('goes on from the byte that was reached when bodies are cut', async () => {
  const server = await start((request, response) => sendFile(request, response, data, { cut: 40_000 }));
  const source = await openUrl(server.url, small);
  assert.deepEqual(await source.read(0, 100_000), data);
  assert.deepEqual(server.log.slice(1).map((line) => line.split('bytes=')[1]), ['0-99999', '40000-99999', '80000-99999']);
});

test('gives up on bodies that are always cut', async () => {
  const server = await start((request, response) => sendFile(request, response, data, { cut: 0 }));
  await assert.rejects(openUrl(server.url, small), { code: 'http.unreachable' });
  assert.equal(server.log.length, 3);
  const whole = await start((request, response) => sendFile(request, response, data, { cut: 5000, ranges: false }));
  await assert.rejects(openUrl(whole.url, quick), { code: 'http.unreachable' });
});

test('tries again what may pass, and nothing else', async () => {
  let failures = 2;
  const busy = await start((request, response) => {
    if (failures-- > 0) response.writeHead(failures === 0 ? 500 : 429, { 'retry-after': '0' }).end('busy');
    else sendFile(request, response, data);
  });
  assert.equal((await openUrl(busy.url, quick)).size, data.byteLength);
  assert.equal(busy.log.length, 3);
  for (const [status, code] of [[404, 'notFound'], [410, 'notFound'], [401, 'denied'], [403, 'denied'], [400, 'status'], [501, 'status']] as const) {
    const server = await start((_, response) => { response.writeHead(status).end(); });
    await assert.rejects(openUrl(server.url, quick), { code: `http.${code}` });
    assert.equal(server.log.length, 1);
  }
  const down = await start((_, response) => { response.writeHead(503).end(); });
  await assert.rejects(openUrl(down.url, quick), { code: 'http.unreachable', message: /failed 3 times: status 503/ });
});

test('says so when nothing listens, and when a server falls silent', async () => {
  const port = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => { const { port } = probe.address() as { port: number }; probe.close(() => resolve(port)); });
  });
  await assert.rejects(openUrl(`http://127.0.0.1:${port}/x`, quick), { code: 'http.unreachable', message: /ECONNREFUSED/ });
  const mute = await start(() => {});
  await assert.rejects(openUrl(mute.url, { ...quick, attempts: 2, silenceMs: 50 }), { code: 'http.unreachable', message: /nothing came/ });
});

test('notices that the file changed between two reads', async () => {
  let current = data;
  let etag: string | undefined = '"1"';
  const server = await start((request, response) => sendFile(request, response, current, { etag }));
  const reopened = (): Promise<unknown> => openUrl(server.url, small).then(async (source) => { change(); return source.read(50_000, 50_010); });
  let change = (): void => { etag = '"2"'; };
  await assert.rejects(reopened(), { code: 'http.changed', message: /"1" to "2"/ });
  etag = undefined;
  change = () => { current = data.slice(0, 60_000); };
  await assert.rejects(reopened(), { code: 'http.changed', message: /100000 bytes to 60000/ });
  current = data;
  change = () => { current = data.slice(0, 100); };
  await assert.rejects(reopened(), { code: 'http.changed', message: /shorter/ });
});

test('refuses answers that are not what was asked for', async () => {
  const shifted = await start((_, response) => { response.writeHead(206, { 'content-range': 'bytes 5-14/100' }).end('0123456789'); });
  await assert.rejects(openUrl(shifted.url, quick), { code: 'http.badRange' });
  const zipped = await start((_, response) => { response.writeHead(206, { 'content-range': 'bytes 0-9/10', 'content-encoding': 'gzip' }).end('0123456789'); });
  await assert.rejects(openUrl(zipped.url, quick), { code: 'http.encoded' });
  let first = true;
  const forgetful = await start((request, response) => { sendFile(request, response, data, { ranges: first }); first = false; });
  const source = await openUrl(forgetful.url, small);
  await assert.rejects(source.read(50_000, 50_001), { code: 'http.badRange' });
});

test('sees through lengths that lie', async () => {
  // One byte too many is not taken, whatever stands in the header; one too few is asked for again, and again.
  const long = await start((request, response) => {
    const [begin, end] = /(\d+)-(\d+)/.exec(request.headers.range!)!.slice(1).map(Number);
    response.writeHead(206, { 'content-range': `bytes ${begin}-${end}/${data.byteLength}` }).end(new Uint8Array(end - begin + 50).fill(7));
  });
  assert.deepEqual(await (await openUrl(long.url, small)).read(100, 110), new Uint8Array(10).fill(7));
  const short = await start((request, response) => {
    const [begin, end] = /(\d+)-(\d+)/.exec(request.headers.range!)!.slice(1).map(Number);
    response.writeHead(206, { 'content-range': `bytes ${begin}-${end}/${data.byteLength}` }).end(data.subarray(begin, begin === 0 ? end + 1 : begin));
  });
  const source = await openUrl(short.url, small);
  await assert.rejects(source.read(50_000, 50_010), { code: 'http.unreachable', message: /0 of 1000 bytes came/ });
  // A size that no file has makes nobody allocate it.
  for (const [range, code] of [['bytes 0-999/9007199254740991', undefined], ['bytes 0-999/9999999999999999', 'noSize'], ['bytes 0-999/*', 'noSize'], ['bytes 999-0/1000', 'badRange'], ['bytes 0-999/0', 'badRange']] as const) {
    const server = await start((request, response) => { if (request.method === 'HEAD') response.end(); else response.writeHead(206, { 'content-range': range }).end(new Uint8Array(1000)); });
    if (code === undefined) assert.equal((await openUrl(server.url, small)).size, 2 ** 53 - 1);
    else await assert.rejects(openUrl(server.url, small), { code: `http.${code}` });
  }
  const boasting = await start((_, response) => { response.writeHead(200, { 'content-length': 2 ** 40 }); response.write('x'); });
  await assert.rejects(openUrl(boasting.url, quick), { code: 'http.noRanges' });
});

test('follows a redirect, not a circle of them, and none to another kind of address', async () => {
  const once = await start((request, response) => { if (request.url === '/a') response.writeHead(302, { location: '/b' }).end(); else sendFile(request, response, data); });
  assert.equal((await openUrl(`${once.url}/a`, quick)).size, data.byteLength);
  const circle = await start((request, response) => { response.writeHead(302, { location: `${request.url}x` }).end(); });
  await assert.rejects(openUrl(`${circle.url}/`, quick), { code: 'http.redirects' });
  assert.ok(circle.log.length <= 21, `${circle.log.length} requests`);
  for (const location of ['file:///etc/passwd', 'ftp://x/y', 'data:,x', 'http://']) {
    const away = await start((_, response) => { response.writeHead(302, { location }).end(); });
    await assert.rejects(openUrl(away.url, quick), { code: 'http.unreachable' });
  }
});

test('gives up on a server that sends a byte now and then', async () => {
  const dripping = await start((_, response) => {
    response.writeHead(206, { 'content-range': `bytes 0-999/${data.byteLength}` });
    const drip = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(drip));
  });
  const begin = performance.now();
  await assert.rejects(openUrl(dripping.url, { ...small, attempts: 2, silenceMs: 200 }), { code: 'http.unreachable', message: /bytes came in 0.2 s/ });
  assert.ok(performance.now() - begin < 10_000);
  const slow = await start((_, response) => {
    response.writeHead(200);
    const drip = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(drip));
  });
  await assert.rejects(openUrl(slow.url, { ...quick, attempts: 2, silenceMs: 200 }), { code: 'http.unreachable' });
});

test('stops at headers without end, and at bodies without end', async () => {
  const vain = await start((_, response) => { response.writeHead(200, { 'x-long': 'x'.repeat(100_000) }).end(); });
  await assert.rejects(openUrl(vain.url, quick), { code: 'http.unreachable', message: /HEADERS/ });
  const endless = await start((_, response) => {
    response.writeHead(200);
    const pour = (): void => { while (!response.destroyed && response.write(new Uint8Array(65536))); };
    response.on('drain', pour);
    pour();
  });
  await assert.rejects(openUrl(endless.url, { ...quick, maxWholeBytes: 1_000_000 }), { code: 'http.noRanges' });
});

test('opens an empty file', async () => {
  const server = await start((request, response) => sendFile(request, response, new Uint8Array(0)));
  assert.equal((await openUrl(server.url, quick)).size, 0);
});

test('refuses what is not an http URL', async () => {
  for (const url of ['model.onnx', 'file:///etc/passwd', 'ftp://x/y', 'http://user:password@x/y', 'data:,x', '']) {
    await assert.rejects(openUrl(url), (error: Error & { code: string }) => error.code === 'http.url' && !error.message.includes('password@'));
  }
});

test('opens the files beside a URL, and no others', async () => {
  const server = await start((request, response) => {
    if (request.url === '/m/model.onnx_data?key=1') sendFile(request, response, data);
    else response.writeHead(404).end();
  });
  const folder = urlFolder(`${server.url}/m/model.onnx?key=1`, quick);
  assert.ok(await folder.has('model.onnx_data'));
  assert.equal((await folder.open('model.onnx_data')).size, data.byteLength);
  assert.ok(!(await folder.has('other')));
  for (const name of ['../x', '/x', 'a//b', 'a/../b', '\\x']) await assert.rejects(folder.open(name), { code: 'http.outside' });
});

test('a page that a server sends for a file that is not there is no file of the folder', async () => {
  const page = new TextEncoder().encode('<!DOCTYPE html>\n<html><body>an application</body></html>');
  for (const ranges of [false, true]) {
    const server = await start((request, response) => {
      if (request.url === '/m/config.json') return sendFile(request, response, new TextEncoder().encode('{}'));
      response.setHeader('content-type', 'text/html');
      return sendFile(request, response, request.url === '/m/card.html' ? new TextEncoder().encode('{"not": "a page"}') : page, { ranges });
    });
    const folder = urlFolder(`${server.url}/m/`, quick);
    assert.deepEqual([await folder.has('config.json'), await folder.has('model.safetensors.index.json'), await folder.has('card.html')], [true, false, true]);
    await assert.rejects(openUrl(`${server.url}/m/model.gguf`, quick), { code: 'http.page', message: `${server.url}/m/model.gguf: not found: the server sends a page in its place` });
  }
});
