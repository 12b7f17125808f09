/** State-space models of both kinds on the low-bit engine: logits against ONNX Runtime, the same bits whatever the chunks, text. */
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
import { parseFormat } from '../../src/formats/registry.ts';
import type { LanguageModel } from '../../src/models/language-model.ts';
import type { Mamba1Config } from '../../src/models/mamba1-config.ts';
import type { Mamba2Config } from '../../src/models/mamba2-config.ts';
import { MambaDecoder, type MambaOptions } from '../../src/runtime/mamba-decoder.ts';
import { likeliest } from '../../src/runtime/sample.ts';
import { inCodes, openTextModel } from '../../src/runtime/text-model.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { hidden, layers, lively, rank, state, vocabulary } from '../models/lively-mamba1.ts';
import { all, distance } from './outputs.ts';

const open = async (asset: string): Promise<LanguageModel> => {
  const source = await openSource(fileURLToPath(new URL(`../../assets/${asset}`, import.meta.url)));
  after(() => source.close());
  return source.language!;
};
const models = [await open('mamba2-groups'), await open('mamba1-bytes')];
const [second, first] = models;
const tokens = [...new TextEncoder().encode('KING HENRY:\nThe game is up, and every man must now see to it')];
const decoderOf = (language: LanguageModel, tensors: ReadonlyMap<string, TensorRef> = language.tensors, options: MambaOptions = {}): Promise<MambaDecoder> => MambaDecoder.open(language.config as Mamba1Config | Mamba2Config, tensors, options);

async function ortLogits(language: LanguageModel, tensors = language.tensors, ids: readonly number[] = tokens): Promise<Float32Array> {
  const session = await ortNode.open({ bytes: await onnxBytes(language.graph({ tensors })) });
  const { logits } = await session.run({ input_ids: i64([1, ids.length], ids) });
  await session.dispose();
  return logits.data as Float32Array;
}

for (const language of models) {
  test(`${language.config.family}: logits of floats are those of the exported graph; of 8-bit weights those of their values, up to the rounding of inputs`, async () => {
    const float = (await decoderOf(language)).feed(tokens, { all: true });
    assert.ok(distance(float, await ortLogits(language)) < 1e-5, String(distance(float, await ortLogits(language))));
    const [blocks, decoded] = [new Map(language.tensors), new Map(language.tensors)];
    for (const [name, tensor] of language.tensors) {
      if (tensor.shape.length !== 2 || tensor.shape[1] % 32 !== 0) continue;
      const bytes = encodeBlocks('q8_0', await readFloats(tensor), tensor.shape[0], tensor.shape[1]);
      blocks.set(name, memoryTensor(name, 'q8_0', tensor.shape, bytes));
      decoded.set(name, floatTensor(name, tensor.shape, decodeBlocks('q8_0', bytes)));
    }
    const low = (await decoderOf(language, blocks)).feed(tokens, { all: true });
    const apart = distance(low, await ortLogits(language, decoded));
    assert.ok(apart > 0 && apart < 0.02, String(apart));
  });

  test(`${language.config.family}: any chunks give the same bits, and so do the plain kernels; a text begins anew after another`, async () => {
    const { vocabSize } = language.config;
    const whole = (await decoderOf(language)).feed(tokens, { all: true });
    const plain = await decoderOf(language, language.tensors, { kernels: plainLowBit, scans: plainSsm });
    assert.deepEqual(plain.feed(tokens.slice(0, 20), { all: true }), whole.subarray(0, 20 * vocabSize));
    const parts = await decoderOf(language);
    parts.feed(tokens.slice(0, 7));
    assert.equal(parts.position, 7);
    assert.equal(parts.rewind(7), 7);
    assert.equal(parts.rewind(3), 0);
    for (const [from, to] of [[0, 1], [1, 34], [34, 50]]) {
      assert.deepEqual(parts.feed(tokens.slice(from, to)), whole.subarray((to - 1) * vocabSize, to * vocabSize));
    }
  });
}

test('Mamba-1 in the spelling of transformers, with biases, a head of its own, and widths that are no whole groups', async () => {
  const language = lively({
    model_type: 'mamba', architectures: ['MambaForCausalLM'], vocab_size: vocabulary, hidden_size: hidden, num_hidden_layers: layers, state_size: state, time_step_rank: rank,
    intermediate_size: 2 * hidden, conv_kernel: 4, tie_word_embeddings: false, use_bias: true,
  });
  const ids = tokens.map((id) => id % vocabulary);
  const apart = distance((await decoderOf(language)).feed(ids, { all: true }), await ortLogits(language, language.tensors, ids));
  assert.ok(apart < 1e-5, String(apart));
});

test('Mamba-1: text, and paces of decay that no format takes', async () => {
  const model = await openTextModel(first, { weights: parseFormat('int8/g8') });
  const { ids, text } = await all(model.write('ROMEO:\n', { maxTokens: 40 }));
  assert.equal(ids.length, 40);
  assert.match(text, /[a-z]{3}/);
  const rates = first.tensors.get('backbone.layers.0.mixer.A_log')!;
  assert.equal(inCodes(rates, parseFormat('int8/g8')) === rates, false, 'a format would take them');
  const kept = await decoderOf(first, new Map([...first.tensors].map(([name, tensor]) => [name, name.endsWith('.A_log') ? tensor : inCodes(tensor, parseFormat('int8/g8'))])));
  assert.equal(ids[0], likeliest(kept.feed(model.encode('ROMEO:\n'))));
});

test('a model writes, goes on with what it holds, and says what a state cannot do', async () => {
  const model = await openTextModel(second, { weights: 'q8_0' });
  const write = (prompt: string) => all(model.write(prompt, { maxTokens: 40 }));
  const first = await write('ROMEO:\n');
  assert.equal(first.ids.length, 40);
  assert.match(first.text, /[a-z]{3}/);
  const more = await write(`ROMEO:\n${first.text}\n`);
  assert.ok(more.cachedTokens > 40, String(more.cachedTokens));
  assert.deepEqual((await write('ROMEO:\n')).ids, first.ids);
  assert.ok(model.cacheBytes > 0 && model.cacheBytes < model.bytes);
  await assert.rejects(openTextModel(second, { drafts: ['ngram'] }), { message: /drafts cannot be had for a state-space model/ });
  await assert.rejects(openTextModel(second, { sequences: 2 }), { message: /several texts at a time cannot be had/ });
  await assert.rejects(openTextModel(second, { cache: 'int4' }), { message: /a cache in few bits cannot be had/ });
  const short = await decoderOf(second, second.tensors, { context: 4 });
  assert.throws(() => short.feed([1, 2, 3, 4, 5]), { message: /5 tokens do not fit into a context of 4/ });
  assert.throws(() => short.feed([256]), { message: /token 256 is outside/ });
});
