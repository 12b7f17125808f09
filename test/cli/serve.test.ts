/** `fewbit run` and `fewbit serve` as processes. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url).pathname;
const command = ['--import', 'tsx', join(root, 'src/cli/main.ts')];
const model = ['assets/host-llama-shakespeare', '--weights', 'q8_0', '--context', '64', '--threads', '1'];

test('serve tells its address, answers, and ends with exit code 0 when interrupted; run writes the same text', async () => {
  const server = spawn(process.execPath, [...command, 'serve', ...model, '--port', '0'], { cwd: root });
  let [out, err] = ['', ''];
  server.stdout.on('data', (part) => { out += String(part); });
  server.stderr.on('data', (part) => { err += String(part); });
  try {
    while (!out.includes('\n')) await Promise.race([once(server.stdout, 'data'), once(server, 'exit').then(() => { throw new Error(err); })]);
    const url = /at (http:\/\/127\.0\.0\.1:\d+\/v1)/.exec(out)![1];
    const response = await fetch(`${url}/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ prompt: 'ROMEO:', max_tokens: 12, temperature: 0 }) });
    const { choices: [{ text }] } = await response.json() as { choices: { text: string }[] };
    const exit = once(server, 'exit');
    server.kill('SIGINT');
    assert.deepEqual(await exit, [0, null]);
    assert.match(err, /text \d+ tokens \(0 held\), 12 written \(length\)/);
    const { status, stdout, stderr } = spawnSync(process.execPath, [...command, 'run', ...model, '--prompt', 'ROMEO:', '--max-tokens', '12'], { cwd: root, encoding: 'utf8' });
    assert.deepEqual([status, stdout], [0, `${text}\n`], stderr);
  } finally {
    server.kill('SIGKILL');
  }
});

test('what cannot be served ends with one line and exit code 1', () => {
  for (const [args, message] of [
    [['assets/kws-dscnn/kws-dscnn.onnx'], /^fewbit: assets\/kws-dscnn\/kws-dscnn\.onnx is not a language model$/m],
    [[...model, '--host', 'no.such.host.invalid'], /^fewbit: cannot listen on no\.such\.host\.invalid, port \d+: \w+$/m],
  ] as const) {
    const { status, stderr } = spawnSync(process.execPath, [...command, 'serve', ...args], { cwd: root, encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 1, stderr);
    assert.match(stderr, message);
  }
});

test('run ends quietly when nobody reads on', async () => {
  const running = spawn(process.execPath, [...command, 'run', ...model, '--prompt', 'ROMEO:', '--max-tokens', '50'], { cwd: root });
  let err = '';
  running.stderr.on('data', (part) => { err += String(part); });
  running.stdout.once('data', () => running.stdout.destroy());
  assert.deepEqual([await once(running, 'exit'), err.trim()], [[141, null], 'load']);
});
