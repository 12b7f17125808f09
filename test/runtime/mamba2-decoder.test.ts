/** State-space models on the low-bit engine: logits against ONNX Runtime, the same bits whatever the chunks, text. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plainLowBit } from '../../src/engine/kernels/lowbit-plain.ts';
import { plainSsm } from '../../src/engine/kernels/ssm.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { readFloats } from '../../src/files/values.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { Mamba2Config } from '../../src/models/mamba2-config.ts';
import { Mamba2Decoder } from '../../src/runtime/mamba2-decoder.ts';
import { openTextModel } from '../../src/runtime/text-model.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { all, distance } from './outputs.ts';

const source = await openSource(fileURLToPath(new URL('../../assets/mamba2-groups', import.meta.url)));
after(() => source.close());
const language = source.language!;
const config = language.config as Mamba2Config;
const tokens = [...new TextEncoder().encode('KING HENRY:\nThe game is up, and every man must now see to it')];

async function ortLogits(tensors: ReadonlyMap<string, TensorRef>): Promise<Float32Array> {
  const session = await ortNode.open({ bytes: await onnxBytes(language.graph({ tensors })) });
  const { logits } = await session.run({ input_ids: i64([1, tokens.length], tokens) });
  await session.dispose();
  return logits.data as Float32Array;
}

test('logits of floats are those of the exported graph; of 8-bit weights those of their values, up to the rounding of inputs', async () => {
  const decoder = await Mamba2Decoder.open(config, language.tensors);
  const float = decoder.feed(tokens, { all: true });
  assert.ok(distance(float, await ortLogits(language.tensors)) < 1e-5, String(distance(float, await ortLogits(language.tensors))));
  const [blocks, decoded] = [new Map(language.tensors), new Map(language.tensors)];
  for (const [name, tensor] of language.tensors) {
    if (tensor.shape.length !== 2) continue;
    const bytes = encodeBlocks('q8_0', await readFloats(tensor), tensor.shape[0], tensor.shape[1]);
    blocks.set(name, memoryTensor(name, 'q8_0', tensor.shape, bytes));
    decoded.set(name, floatTensor(name, tensor.shape, decodeBlocks('q8_0', bytes)));
  }
  const low = (await Mamba2Decoder.open(config, blocks)).feed(tokens, { all: true });
  assert.ok(distance(low, await ortLogits(decoded)) < 0.02, String(distance(low, await ortLogits(decoded))));
});

test('any chunks give the same bits, and so do the plain kernels; a text begins anew after another', async () => {
  const whole = (await Mamba2Decoder.open(config, language.tensors)).feed(tokens, { all: true });
  const plain = await Mamba2Decoder.open(config, language.tensors, { kernels: plainLowBit, scans: plainSsm });
  assert.deepEqual(plain.feed(tokens.slice(0, 20), { all: true }), whole.subarray(0, 20 * config.vocabSize));
  const parts = await Mamba2Decoder.open(config, language.tensors);
  parts.feed(tokens.slice(0, 7));
  assert.equal(parts.position, 7);
  assert.equal(parts.rewind(7), 7);
  assert.equal(parts.rewind(3), 0);
  for (const [from, to] of [[0, 1], [1, 34], [34, 50]]) {
    assert.deepEqual(parts.feed(tokens.slice(from, to)), whole.subarray((to - 1) * config.vocabSize, to * config.vocabSize));
  }
});

test('a model writes, goes on with what it holds, and says what a state cannot do', async () => {
  const model = await openTextModel(language, { weights: 'q8_0' });
  const write = (prompt: string) => all(model.write(prompt, { maxTokens: 40 }));
  const first = await write('ROMEO:\n');
  assert.equal(first.ids.length, 40);
  assert.match(first.text, /[a-z]{3}/);
  const more = await write(`ROMEO:\n${first.text}\n`);
  assert.ok(more.cachedTokens > 40, String(more.cachedTokens));
  assert.deepEqual((await write('ROMEO:\n')).ids, first.ids);
  assert.ok(model.cacheBytes > 0 && model.cacheBytes < model.bytes);
  await assert.rejects(openTextModel(language, { drafts: ['ngram'] }), { message: /drafts cannot be had for a state-space model/ });
  await assert.rejects(openTextModel(language, { sequences: 2 }), { message: /several texts at a time cannot be had/ });
  await assert.rejects(openTextModel(language, { cache: 'int4' }), { message: /a cache in few bits cannot be had/ });
  const short = await Mamba2Decoder.open(config, language.tensors, { context: 4 });
  assert.throws(() => short.feed([1, 2, 3, 4, 5]), { message: /5 tokens do not fit into a context of 4/ });
  assert.throws(() => short.feed([256]), { message: /token 256 is outside/ });
});
