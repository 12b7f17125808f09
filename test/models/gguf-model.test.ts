/** Models through GGUF files and back, in llama.cpp, and files that are refused. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64, type Tensor } from '../../src/engine/tensor.ts';
import { openFile, openFolder } from '../../src/files/fs-node.ts';
import type { GgufValue } from '../../src/files/gguf.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import { openSafetensors } from '../../src/files/safetensors.ts';
import { memorySink, memorySource } from '../../src/files/source.ts';
import { copyTensor, floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { ggufParts } from '../../src/export/gguf.ts';
import { readFloats, readNumbers } from '../../src/graph/values.ts';
import { openGgufLanguageModel } from '../../src/models/gguf-model.ts';
import { text, u32 } from '../../src/models/gguf-values.ts';
import { languageModel, isStateSpace, openLanguageModel, type LanguageModel } from '../../src/models/language-model.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { distance, ggufFile, withFolder, withLlama } from './gguf-file.ts';

const assets = join(import.meta.dirname, '../../assets');
const fixtures = join(import.meta.dirname, 'fixtures');
const host = await openLanguageModel(await openFolder(join(assets, 'host-llama-shakespeare')));
after(() => host.close());
const heldout = await readFile(join(assets, 'shakespeare/heldout.txt'), 'utf8');

test('a float32 file gives back the tensors, the numbers and the token ids of its folder', () => withFolder(async (folder) => {
  const back = await openGgufLanguageModel(await openFile(await ggufFile(host, folder, 'f32')));
  assert.deepEqual(back.config, host.config);
  assert.deepEqual([...back.tensors.keys()], [...host.tensors.keys()]);
  for (const [name, tensor] of host.tensors) assert.deepEqual(await back.tensors.get(name)!.read(), await tensor.read(), name);
  for (const key of ['bos_token_id', 'eos_token_id', 'model_type', 'architectures', 'rope_scaling'] as const) assert.deepEqual(back.rawConfig[key], host.rawConfig[key], key);
  const [before, after] = [openTokenizer(host.tokenizer!), openTokenizer(back.tokenizer!)];
  assert.deepEqual(after.encode(heldout), before.encode(heldout));
  assert.equal(after.decode(after.encode(heldout)), heldout);
  assert.deepEqual(back.lowBit, []);
  await back.close();
}));

/** A byte-level vocabulary of this size, for models that have none. */
function letters(size: number) {
  const vocab = Object.fromEntries(Array.from({ length: size }, (_, id) => [id < 26 ? String.fromCharCode(97 + id) : `t${id}`, id]));
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokenizer = { version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: byteLevel, post_processor: null, decoder: byteLevel, model: { type: 'BPE', vocab, merges: [] } };
  return { tokenizer, config: {}, others: new Map<string, Uint8Array>() };
}

async function logitsOf(model: LanguageModel, feeds: { input_ids: Tensor }): Promise<Float32Array> {
  const session = await ortNode.open({ bytes: await onnxBytes(model.graph()) });
  const { logits } = await session.run(feeds);
  await session.dispose();
  return logits.data as Float32Array;
}

/** Float32 sums in another order. */
const tolerance = 5e-6;

/** Fixtures, and what of their configuration GGUF cannot express. */
const families: readonly (readonly [name: string, change: Record<string, unknown>])[] = [
  ['llama-biases-llama3', {}], ['mistral-window', {}], ['qwen2-yarn-window', {}],
  ['qwen3-shards', { hidden_act: 'silu' }], ['smollm3-nope', { no_rope_layers: null, no_rope_layer_interval: 4 }],
];
for (const [name, change] of families) {
  test(`${name}: llama.cpp gives the distributions of the reference, and the file reads back`, () => withFolder(async (folder) => {
    const source = await openLanguageModel(await openFolder(join(fixtures, name)));
    const model = languageModel({ ...source, rawConfig: { ...source.rawConfig, ...change }, tokenizer: letters(source.config.vocabSize) });
    const expected = await openFile(join(fixtures, name, 'expected.safetensors'));
    const { tensors } = await openSafetensors(expected);
    const path = await ggufFile(model, folder, 'f32');
    const back = await openGgufLanguageModel(await openFile(path));
    for (const [weight, tensor] of model.tensors) assert.deepEqual(await readFloats(back.tensors.get(weight)!), await readFloats(tensor), weight);
    assert.ok(!isStateSpace(source.config));
    const windows = source.config.layers.flatMap(({ window }) => window ?? []);
    const ids = await readNumbers(tensors.get('ids')!);
    // GGUF has no windows: within them the model is the same.
    const length = Math.min(ids.length, ...windows);
    const feeds = { input_ids: i64([1, length], ids.slice(0, length)) };
    // A changed model has no reference but the graph of its folder, whose family another test holds against one.
    const wanted = Object.keys(change).length === 0
      ? (await readFloats(tensors.get('logits')!)).subarray(0, length * model.config.vocabSize)
      : await logitsOf(model, feeds);
    const inLlama = distance(await withLlama(path, ({ logits }) => logits(ids.slice(0, length))), wanted, model.config.vocabSize);
    const inOrt = distance(await logitsOf(back, feeds), wanted, model.config.vocabSize);
    assert.ok(inLlama.max < tolerance, `llama.cpp: ${inLlama.max}`);
    assert.ok(inOrt.max < tolerance, `ONNX Runtime: ${inOrt.max}`);
    await Promise.all([back.close(), source.close(), expected.close()]);
  }));
}

const parts = ggufParts(host);
const source = async (metadata: ReadonlyMap<string, GgufValue>, tensors: readonly TensorRef[]) => {
  const sink = memorySink();
  await writeGguf(sink, metadata, tensors.map((tensor) => copyTensor(tensor)));
  return memorySource('model.gguf', sink.bytes());
};
const tensors = parts.tensors.map(({ tensor }) => tensor);
const replaced = (name: string, other: TensorRef): TensorRef[] => tensors.map((tensor) => (tensor.name === name ? other : tensor));

const refused: readonly (readonly [what: string, metadata: Record<string, GgufValue | undefined>, tensors: readonly TensorRef[], message: RegExp])[] = [
  ['a type that is not decoded', {}, replaced('blk.2.attn_q.weight', memoryTensor('blk.2.attn_q.weight', 'iq2_xs', [256, 256], new Uint8Array(256 * 74))), /^tensor blk\.2\.attn_q\.weight has type iq2_xs, which is not decoded here$/],
  ['another architecture', { 'general.architecture': text('mamba') }, tensors, /^GGUF architecture "mamba" cannot be built$/],
  ['no architecture', { 'general.architecture': undefined }, tensors, /^metadata general\.architecture is missing$/],
  ['no embedding', {}, tensors.slice(1), /^tensor token_embd\.weight is missing$/],
  ['no tensor of a layer', {}, tensors.filter(({ name }) => name !== 'blk.3.ffn_up.weight'), /^tensor model\.layers\.3\.mlp\.up_proj\.weight is missing$/],
  ['a tensor of nobody', {}, [...tensors, floatTensor('blk.0.ffn_gate_inp.weight', [2], new Float32Array(2))], /^tensor blk\.0\.ffn_gate_inp\.weight has no place in the architecture$/],
  ['another shape', {}, replaced('blk.0.attn_k.weight', floatTensor('blk.0.attn_k.weight', [32, 512], new Float32Array(64 * 256))), /has shape \[32, 512\], config\.json asks for \[64, 256\]$/],
  ['experts', { 'llama.expert_count': u32(8) }, tensors, /^metadata llama\.expert_count 8 is not supported$/],
  ['an unknown scaling', { 'llama.rope.scaling.type': text('longrope') }, tensors, /^metadata llama\.rope\.scaling\.type "longrope" is not supported$/],
  ['an unknown tokenizer', { 'tokenizer.ggml.model': text('rwkv') }, tensors, /^metadata tokenizer\.ggml\.model "rwkv" is not read$/],
  ['an unknown way to cut', { 'tokenizer.ggml.pre': text('tekken') }, tensors, /^metadata tokenizer\.ggml\.pre "tekken" is not known$/],
  ['an id outside', { 'tokenizer.ggml.bos_token_id': u32(4096) }, tensors, /^metadata tokenizer\.ggml\.bos_token_id 4096 lies outside the 1024 tokens$/],
  ['a number as a text', { 'llama.block_count': text('6') }, tensors, /^metadata llama\.block_count must be a number, found string "6"$/],
];
for (const [what, change, given, message] of refused) {
  test(`${what} is refused in one line`, async () => {
    const metadata = new Map(parts.metadata);
    for (const [key, value] of Object.entries(change)) {
      if (value === undefined) metadata.delete(key);
      else metadata.set(key, value);
    }
    await assert.rejects(async () => openGgufLanguageModel(await source(metadata, given)), { name: 'FewbitError', message });
  });
}
