/** Language models on the low-bit engine: logits against ONNX Runtime, text, stops, and what goes wrong. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { nodeTeam } from '../../src/engine/kernels/lowbit-team-node.ts';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { readFloats } from '../../src/files/values.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { run } from '../../src/jobs/run-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';
import { distribution, sample } from '../../src/runtime/sample.ts';
import { openTextModel } from '../../src/runtime/text-model.ts';
import { floatTensor, memoryTensor, type BlockType, type TensorRef } from '../../src/tensor-ref.ts';
import { distance } from './outputs.ts';

const location = fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url));
const source = await openSource(location);
const language = source.language!;
after(() => source.close());
const tokens = Array.from({ length: 45 }, (_, i) => (i * 37 + 11) % 300);
const vocabulary = language.config.vocabSize;

async function ortLogits(tensors: ReadonlyMap<string, TensorRef>): Promise<Float32Array> {
  const session = await ortNode.open({ bytes: await onnxBytes(language.graph({ tensors })) });
  const { logits } = await session.run({ input_ids: i64([1, tokens.length], tokens) });
  await session.dispose();
  return logits.data as Float32Array;
}

/** Matrices in a block type, and the same decoded to floats. */
async function inType(type: BlockType): Promise<{ blocks: Map<string, TensorRef>; floats: Map<string, TensorRef> }> {
  const blocks = new Map(language.tensors);
  const floats = new Map(language.tensors);
  for (const [name, tensor] of language.tensors) {
    if (tensor.shape.length !== 2) continue;
    const [rows, cols] = tensor.shape;
    const bytes = encodeBlocks(type, await readFloats(tensor), rows, cols);
    blocks.set(name, memoryTensor(name, type, tensor.shape, bytes));
    floats.set(name, floatTensor(name, tensor.shape, decodeBlocks(type, bytes)));
  }
  return { blocks, floats };
}

const open = (tensors: ReadonlyMap<string, TensorRef>, options = {}) => LlamaDecoder.open(language.config as LlamaConfig, tensors, { context: 64, ...options });

test('float weights: the logits of ONNX Runtime', async () => {
  const decoder = await open(language.tensors);
  const found = decoder.feed(tokens, { all: true });
  assert.ok(distance(found, await ortLogits(language.tensors)) < 1e-5);
});

for (const type of ['q4_0', 'q8_0', 'q4_k', 'q5_k', 'q6_k', 'q3_k', 'iq4_xs'] as const) {
  test(`${type}: within what rounding inputs to 8 bits does, and to 16 hardly anything, the same bits token by token and by the plain kernels`, async () => {
    const { blocks, floats } = await inType(type);
    const decoder = await open(blocks);
    const found = decoder.feed(tokens, { all: true });
    const expected = await ortLogits(floats);
    const far = distance(found, expected);
    assert.ok(far < 0.02, `relative distance ${far}`);
    const nearer = distance((await open(blocks, { inputs: 'float' })).feed(tokens, { all: true }), expected);
    assert.ok(nearer < 1e-4, `relative distance ${nearer} with float inputs`);
    const single = await open(blocks);
    tokens.forEach((id, t) => {
      if (t < 3 || t === tokens.length - 1) assert.deepEqual(single.feed([id]), found.subarray(t * vocabulary, (t + 1) * vocabulary));
      else single.feed([id]);
    });
    if (type === 'q4_k' || type === 'q6_k') {
      const plain = await open(blocks, { kernels: plainLowBit });
      assert.deepEqual(plain.feed(tokens.slice(0, 2), { all: true }), found.subarray(0, 2 * vocabulary));
    }
    decoder.rewind(5);
    assert.deepEqual(decoder.feed(tokens.slice(5)), found.subarray(44 * vocabulary));
  });
}

test('any number of threads gives the same bits', async () => {
  const { blocks } = await inType('q4_k');
  const alone = (await open(blocks)).feed(tokens, { all: true });
  const decoder = await open(blocks, { team: nodeTeam(3) });
  try {
    for (let i = 0; i < 5; i++) {
      decoder.rewind(0);
      assert.deepEqual(decoder.feed(tokens, { all: true }), alone);
    }
  } finally {
    decoder.dispose();
  }
});

test('text comes in pieces that add up, ends at a stop text, at the end of the context, and when cancelled', async () => {
  const model = await openTextModel(language, { context: 48, weights: 'q8_0' });
  const collect = async (options: Parameters<typeof model.write>[1]) => {
    const pieces: string[] = [];
    const writing = model.write('ROMEO:', options);
    for (;;) {
      const next = await writing.next();
      if (next.done === true) return { pieces, ...next.value };
      pieces.push(next.value);
    }
  };
  const whole = await collect({ maxTokens: 30 });
  assert.equal(whole.pieces.join(''), whole.text);
  assert.equal(whole.end, 'length');
  assert.equal(whole.ids.length, 30);
  const word = whole.text.slice(6, 11);
  const stopped = await collect({ maxTokens: 30, stop: [word] });
  assert.deepEqual([stopped.end, stopped.text], ['stop text', whole.text.slice(0, whole.text.indexOf(word))]);
  assert.equal(stopped.pieces.join(''), stopped.text);
  assert.equal((await collect({ maxTokens: 500 })).end, 'context');
  const abort = new AbortController();
  abort.abort();
  assert.equal((await collect({ signal: abort.signal })).end, 'cancelled');
  assert.deepEqual((await collect({ maxTokens: 12, temperature: 0.8, seed: 4 })).ids, (await collect({ maxTokens: 12, temperature: 0.8, seed: 4 })).ids);
});

test('draws follow the probabilities: χ² of 20,000 at 8 degrees of freedom', () => {
  const logits = Float32Array.from([1, 0.5, -1, 2, 0, -0.5, 1.5, -2, 0.25]);
  const counts = new Array<number>(9).fill(0);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) counts[sample(logits, { temperature: 0.9, seed: 5 }, i, [])]++;
  const statistic = distribution(logits, { temperature: 0.9 }).reduce((sum, { id, probability }) => sum + (counts[id] - draws * probability) ** 2 / (draws * probability), 0);
  assert.ok(statistic < 26.1, `χ² ${statistic}, 26.1 is passed once in a thousand`);
});

test('top-k, top-p and min-p leave the likeliest', () => {
  const logits = Float32Array.from([Math.log(0.5), Math.log(0.25), Math.log(0.15), Math.log(0.1)]);
  const ids = (options: Parameters<typeof distribution>[1]): number[] => distribution(logits, options).map(({ id }) => id);
  assert.deepEqual(ids({ topK: 2 }), [0, 1]);
  assert.deepEqual(ids({ topP: 0.7 }), [0, 1]);
  assert.deepEqual(ids({ minP: 0.25 }), [0, 1, 2]);
  assert.equal(sample(logits, { repetitionPenalty: 4 }, 0, [0]), 1);
});

test('output is JSON under a schema, given as a value or as a file', async () => {
  const schema = { type: 'object', properties: { line: { type: 'string' }, act: { type: 'integer' } }, required: ['line', 'act'] };
  const { text, end } = await run({ model: location, prompt: 'ROMEO:', threads: 1, maxTokens: 60, jsonSchema: schema });
  const { line, act } = JSON.parse(text);
  assert.deepEqual([typeof line, Number.isInteger(act), end], ['string', true, 'complete']);
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-schema-'));
  const file = join(folder, 'schema.json');
  await writeFile(file, JSON.stringify(schema));
  assert.equal((await run({ model: location, prompt: 'ROMEO:', threads: 1, maxTokens: 60, jsonSchema: file })).text, text);
  await rm(folder, { recursive: true });
  await assert.rejects(run({ model: location, prompt: 'a', jsonSchema: { not: {} } }), /schema: not is not supported/);
});

test('bad requests get one line', async () => {
  const wrong = async (request: Partial<Parameters<typeof run>[0]>): Promise<string> => run({ model: location, prompt: 'a', ...request }).then(() => '', (error: Error) => error.message);
  assert.match(await wrong({ model: fileURLToPath(new URL('../../assets/kws-dscnn/kws-dscnn.onnx', import.meta.url)) }), /not a language model/);
  assert.match(await wrong({ chat: true }), /no chat template/);
  assert.match(await wrong({ weights: 'int9' }), /cannot be loaded as int9/);
  assert.match(await wrong({ context: 4, prompt: 'a long text that has more than four tokens' }), /do not fit into a context of 4/);
});

test('options of a model and of a text that make no sense are told by their names; opening stops at a signal; no tokens are an empty text', async () => {
  const wrong: readonly (readonly [options: object, message: string])[] = [
    [{ context: 0 }, 'context is 0: it must be a whole number above 0'], [{ context: 1.5 }, 'context is 1.5: it must be a whole number above 0'], [{ sequences: 0 }, 'sequences is 0: it must be a whole number above 0'],
    [{ cache: 'int2' }, 'cache is "int2": it must be one of float, int8, int4, vidkv'], [{ weights: 'q9' }, 'weights is "q9": it must be a block type such as q4_0, or a format'], [{ device: 'gpu' }, 'device is "gpu": it must be cpu or webgpu'],
  ];
  for (const [options, message] of wrong) await assert.rejects(openTextModel(language, options), { code: 'option.value', message });
  const abort = new AbortController();
  const seen: string[] = [];
  await assert.rejects(openTextModel(language, { signal: abort.signal, onTensor: (name) => { seen.push(name); abort.abort(); } }), { name: 'AbortError' });
  assert.equal(seen.length, 1);
  await assert.rejects(openTextModel(language, { signal: abort.signal }), { name: 'AbortError' });
  const model = await openTextModel(language, { context: 32, signal: new AbortController().signal });
  for (const [options, message] of [
    [{ temperature: Number.NaN }, 'temperature is NaN: it must be a number from 0 on'], [{ stop: 'the' }, 'stop is "the": it must be a list of texts, none of them empty'], [{ stop: [''] }, 'stop is [""]: it must be a list of texts, none of them empty'],
    [{ maxTokens: -1 }, 'maxTokens is -1: it must be a whole number, or Infinity'], [{ topP: 2 }, 'topP is 2: it must be a number from 0 to 1'],
  ] as const) await assert.rejects(model.write('ROMEO:', options as object).next(), { code: 'option.value', message });
  const nothing = await model.write('ROMEO:', { maxTokens: 0 }).next();
  assert.ok(nothing.done === true && nothing.value.text === '' && nothing.value.end === 'length');
  const { value } = await model.write('ROMEO: I', { maxTokens: 0 }).next() as { value: { cachedTokens: number } };
  assert.equal(value.cachedTokens, model.encode('ROMEO:').length, 'the prompt was read');
});

test('a context longer than the model was made for is told', async () => {
  const lines: string[] = [];
  const told = (context: number): Promise<unknown> => run({ model: location, prompt: 'ROMEO:', maxTokens: 1, threads: 1, context }, { progress: { ...silentProgress, line: (text) => { lines.push(text); } } });
  await told(256);
  assert.deepEqual(lines, []);
  await told(300);
  assert.deepEqual(lines, ['the model was made for 256 positions: what it writes beyond them may make no sense']);
});
