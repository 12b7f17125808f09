/** However a text ends, the next one is written as if nothing had been before; memory stays what it is. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { quantize } from '../../src/jobs/quantize-node.ts';
import { run } from '../../src/jobs/run-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import { uniform } from '../../src/numeric/random.ts';
import { jsonConstraint } from '../../src/runtime/constrain.ts';
import { generate, type Decoder, type GenerateOptions } from '../../src/runtime/generate.ts';
import { anyObject } from '../../src/runtime/json-schema.ts';
import { openTextModel, type TextModel } from '../../src/runtime/text-model.ts';
import { all } from './outputs.ts';

const location = fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url));
const source = await openSource(location);
const folder = await mkdtemp(join(tmpdir(), 'fewbit-ends-'));
after(async () => {
  await source.close();
  await rm(folder, { recursive: true });
});
const open = (context = 96): Promise<TextModel> => openTextModel(source.language!, { context, weights: 'q8_0' });

test('prompts that share a beginning are read from where they differ, and the text is that of a fresh model', async () => {
  const [model, fresh] = [await open(), await open()];
  const words = ['ROMEO:\n', 'JULIET:\n', 'What light ', 'is that? ', 'My lord, ', 'nothing.\n'];
  let saved = 0;
  let prompt = '';
  for (let i = 0; i < 24; i++) {
    const draw = uniform(5, 0, i);
    // Goes on, begins anew, repeats, or goes back to an earlier half.
    if (draw < 0.5) prompt += words[Math.floor(uniform(5, 1, i) * words.length)];
    else if (draw < 0.65 || prompt.length > 120) prompt = words[i % words.length];
    else if (draw < 0.8) prompt = prompt.slice(0, Math.ceil(prompt.length / 2));
    prompt ||= words[0];
    const options = { maxTokens: 1 + (i % 9), temperature: i % 2, seed: i };
    const found = await all(model.write(prompt, options));
    fresh.decoder.rewind(0);
    const expected = await all(generate({ context: fresh.decoder.context, get position() { return fresh.decoder.position; }, rewind: (to) => fresh.decoder.rewind(to), feed: (tokens) => fresh.decoder.feed(tokens) }, fresh.tokenizer, fresh.encode(prompt), { endTokens: fresh.endTokens, ...options }));
    assert.deepEqual([found.ids, found.text, found.end, found.promptTokens], [expected.ids, expected.text, expected.end, expected.promptTokens]);
    assert.ok(found.cachedTokens < found.promptTokens);
    saved += found.cachedTokens;
  }
  assert.ok(saved > 40, `${saved} tokens were not read again`);
});

test('after bad prompts, a cancelled text, and one that nobody read to its end, the next text is whole', async () => {
  const model = await open();
  const expected = await all((await open()).write('ROMEO:', { maxTokens: 20 }));
  const next = async (): Promise<void> => assert.deepEqual((await all(model.write('ROMEO:', { maxTokens: 20 }))).ids, expected.ids);
  await assert.rejects(all(model.write('word '.repeat(200))), /tokens do not fit into a context of 96/);
  await next();
  await assert.rejects(all(model.generate([3, 99_999])), /token 99999 is outside of the vocabulary/);
  await next();
  await assert.rejects(all(model.generate([])), /the prompt has no tokens/);
  const abort = new AbortController();
  const cancelled = model.write('ROMEO:', { maxTokens: 90, signal: abort.signal });
  const first = await cancelled.next();
  abort.abort();
  const { end, text, ids } = await all(cancelled);
  assert.equal(end, 'cancelled');
  assert.ok(text.startsWith(first.value as string) && ids.length < 90);
  await next();
  for await (const piece of model.write('ROMEO:', { maxTokens: 90 })) if (piece !== '') break;
  await next();
});

test('a long prompt is given up while it is read', async () => {
  let fed = 0;
  const slow: Decoder = {
    context: 10_000, position: 0, rewind: (to) => to,
    feed(tokens) {
      for (const until = performance.now() + 4; performance.now() < until;);
      fed += tokens.length;
      return new Float32Array(8);
    },
  };
  const { tokenizer } = await open();
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 20);
  const { end, text } = await all(generate(slow, tokenizer, new Array<number>(9000).fill(1), { signal: abort.signal }));
  assert.deepEqual([end, text], ['cancelled', '']);
  assert.ok(fed < 9000, `${fed} tokens`);
});

test('a GGUF that was cut off anywhere, or whose bytes are broken, ends in one line', async () => {
  const { outputs: [{ files: [{ path }] }] } = await quantize({ model: location, output: folder, to: 'gguf', weights: 'q4_0', verdict: false });
  const whole = await readFile(join(folder, path));
  const file = join(folder, 'damaged.gguf');
  const message = (): Promise<string> => run({ model: file, prompt: 'a', threads: 1, maxTokens: 1 }).then(() => '', (error: Error) => `${error.name}: ${error.message}`);
  await writeFile(file, whole);
  assert.equal(await message(), '');
  for (const share of [0.999, 0.7, 0.3, 0.02, 0.001]) {
    await truncate(file, Math.floor(whole.byteLength * share));
    assert.match(await message(), /^FewbitError: [^\n]+$/, `${share} of the file`);
  }
  for (let i = 0; i < 12; i++) {
    const broken = Buffer.from(whole);
    for (let k = 0; k < 4; k++) broken[Math.floor(uniform(9, i, k) * 30_000)] ^= 1 << (k + 1);
    await writeFile(file, broken);
    const found = await message();
    assert.ok(found === '' || /^FewbitError: [^\n]+$/.test(found), found);
  }
});

/** Bytes in use after a full collection. */
function settled(): { heap: number; buffers: number } {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return { heap: heapUsed, buffers: arrayBuffers };
}

test('memory stays what it is over texts that end in every way', async () => {
  const model = await open(64);
  const cycle = async (i: number): Promise<void> => {
    const abort = new AbortController();
    if (i % 5 === 0) abort.abort();
    const options: GenerateOptions = i % 3 === 0 ? { constraint: jsonConstraint(model.tokenizer, anyObject), temperature: 1, seed: i, maxTokens: 12 } : { maxTokens: 6, stop: ['the'], signal: abort.signal };
    await all(model.write(`${'JULIET: '.repeat(1 + (i % 4))}`, options));
  };
  for (let i = 0; i < 60; i++) await cycle(i);
  const before = settled();
  const bytes = model.bytes;
  for (let i = 0; i < 90; i++) await cycle(i);
  const now = settled();
  assert.equal(model.bytes, bytes);
  assert.ok(now.heap - before.heap < 500_000 && now.buffers - before.buffers < 500_000, `${now.heap - before.heap} bytes of objects, ${now.buffers - before.buffers} of buffers more`);
});
