/** Tensors of a model: found, missing, misplaced; and the views that graphs read them through. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openFolder } from '../../src/files/fs-node.ts';
import { memorySink, memorySource, type Folder } from '../../src/files/source.ts';
import { copyTensor, floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { openSafetensors, writeSafetensors } from '../../src/files/safetensors.ts';
import { encodeBlocks } from '../../src/formats/ggml/index.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { encodeNumbers, readFloats } from '../../src/graph/values.ts';
import { languageModel, openLanguageModel } from '../../src/models/language-model.ts';
import { floatView, transposedView } from '../../src/models/weight-views.ts';

const fixtures = join(import.meta.dirname, 'fixtures');
const open = async (name: string) => openLanguageModel(await openFolder(join(fixtures, name)));

test('tensors keep their names, types and layout, and linears are listed in order of use', async () => {
  const model = await open('llama-biases-llama3');
  assert.equal(model.name, 'llama-biases-llama3');
  assert.equal(model.tensors.size, 1 + 2 * (9 + 7) + 2);
  const query = model.tensors.get('model.layers.0.self_attn.q_proj.weight')!;
  assert.deepEqual([query.type, query.shape], ['bf16', [32, 24]]);
  assert.deepEqual(model.linears.slice(0, 8).map((name) => name.split('.').at(-2)), ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj', 'q_proj']);
  assert.equal(model.linears.at(-1), 'lm_head.weight');
  const sites = linearSites(model.graph({ cache: true }));
  assert.deepEqual(sites.map((site) => site.id), model.linears);
  const site = sites[0];
  assert.equal(site.bias?.name, 'model.layers.0.self_attn.q_proj.bias');
  assert.deepEqual(await site.weightMatrix(), await readFloats(query));
  assert.deepEqual(await site.readRows(3, 5), await readFloats(query, 72, 120));
  await model.close();
});

test('a tied head is no tensor of its own and no linear site, and its table is stored once', async () => {
  const model = await open('qwen2-yarn-window');
  const head = memoryTensor('lm_head.weight', 'bf16', [48, 24], new Uint8Array(48 * 24 * 2));
  const again = languageModel({ ...model, tensors: new Map([...model.tensors, ['lm_head.weight', head]]) });
  assert.ok(!again.tensors.has('lm_head.weight'));
  const graph = again.graph();
  assert.equal([...graph.weights.values()].filter((weight) => weight.shape.includes(48)).length, 1);
  assert.deepEqual(linearSites(graph).map((site) => site.id), again.linears);
  await model.close();
});

test('other tensors take the place of the model\'s, and must fit', async () => {
  const model = await open('mistral-window');
  const name = 'model.norm.weight';
  const twos = floatTensor(name, [24], new Float32Array(24).fill(2));
  assert.deepEqual(await readFloats(model.graph({ tensors: new Map([[name, twos]]) }).weights.get(name)!), new Float32Array(24).fill(2));
  const short = floatTensor(name, [23], new Float32Array(23));
  assert.throws(() => model.graph({ tensors: new Map([[name, short]]) }), { message: 'tensor model.norm.weight has shape [23], config.json asks for [24]' });
  await model.close();
});

test('tensors that configuration and file disagree about are named', async () => {
  const model = await open('mistral-window');
  const change = (edit: (tensors: Map<string, TensorRef>) => void) => {
    const tensors = new Map(model.tensors);
    edit(tensors);
    return () => languageModel({ ...model, tensors });
  };
  const down = 'model.layers.1.mlp.down_proj.weight';
  assert.throws(change((tensors) => { tensors.delete(down); }), { message: `tensor ${down} is missing` });
  assert.throws(change((tensors) => { tensors.clear(); }), { message: 'tensor model.embed_tokens.weight is missing and so are 20 others' });
  assert.throws(change((tensors) => { tensors.set('score.weight', tensors.get(down)!); }), { message: 'tensor score.weight has no place in the architecture' });
  assert.throws(change((tensors) => { tensors.set(down, { ...tensors.get(down)!, shape: [40, 24] }); }), { message: `tensor ${down} has shape [40, 24], config.json asks for [24, 40]` });
  assert.throws(change((tensors) => { tensors.set(down, { ...tensors.get(down)!, type: 'i8' }); }), { message: `tensor ${down} has type i8, weights must be float` });
  assert.doesNotThrow(change((tensors) => { tensors.set('model.layers.0.self_attn.rotary_emb.inv_freq', tensors.get('model.norm.weight')!); }));
  await model.close();
});

/** The sharded fixture with some files replaced or, when undefined, gone. */
async function edited(changes: Readonly<Record<string, string | Uint8Array | undefined>>): Promise<Folder> {
  const folder = await openFolder(join(fixtures, 'qwen3-shards'));
  return {
    name: 'edited',
    list: () => folder.list(),
    has: async (file) => (Object.hasOwn(changes, file) ? changes[file] !== undefined : folder.has(file)),
    open: async (file) => {
      const change = changes[file];
      if (change === undefined) return folder.open(file);
      return memorySource(file, typeof change === 'string' ? new TextEncoder().encode(change) : change);
    },
  };
}
const indexFile = 'model.safetensors.index.json';
const index = (map: object): Record<string, string> => ({ [indexFile]: JSON.stringify({ weight_map: map }) });

test('damaged folders are refused in one line', async () => {
  const rejects = async (changes: Parameters<typeof edited>[0], message: string): Promise<void> =>
    assert.rejects(openLanguageModel(await edited(changes)), { message });
  await rejects({ [indexFile]: undefined }, 'edited: no model.safetensors and no model.safetensors.index.json');
  await rejects({ [indexFile]: '{}' }, 'edited: model.safetensors.index.json has no weight_map of names to files');
  await rejects(index({ a: 7 }), 'edited: model.safetensors.index.json has no weight_map of names to files');
  await rejects(index({ a: 'weights.bin' }), 'edited: shard "weights.bin" is not a .safetensors file');
  await rejects(index({ a: 'model-00001-of-00002.safetensors' }), 'edited: tensor a is not in model-00001-of-00002.safetensors, where the index has it');
  await rejects(index(Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`t${i}`, `s${i}.safetensors`]))), 'edited: 3000 shards exceed the limit of 2048');
  await rejects({ 'config.json': '[]' }, 'edited/config.json: a JSON object expected');
  await rejects({ 'config.json': '{"model_type": "qwen3", "model_type": "llama"}' }, 'edited/config.json: duplicate key "model_type" at character 24');
  await rejects({ 'config.json': '['.repeat(100) }, 'edited/config.json: JSON nests deeper than 64 at character 64');
  const config = JSON.parse(await readFile(join(fixtures, 'qwen3-shards/config.json'), 'utf8')) as object;
  await rejects({ 'config.json': JSON.stringify({ ...config, quantization_config: { quant_method: 'hqq' } }) }, 'quant_method hqq is not read');
  await assert.rejects(openLanguageModel(await edited(index({ a: '../../x.safetensors' }))), /leaves the folder/);

  const first = 'model-00001-of-00002.safetensors';
  const source = await (await edited({})).open(first);
  const sink = memorySink();
  const extra = floatTensor('model.norm.weight', [24], new Float32Array(24));
  await writeSafetensors(sink, [...(await openSafetensors(source)).tensors.values(), extra].map((tensor) => copyTensor(tensor)));
  await source.close();
  await rejects({ [first]: sink.bytes() }, 'edited: tensor model.norm.weight is in two shards');
});

test('a tokenizer is read with the files beside it', async () => {
  const folder = await edited({ 'tokenizer.json': '{"model": {}}', 'generation_config.json': '{"eos_token_id": 2}' });
  const model = await openLanguageModel({ ...folder, list: async () => ['config.json', 'generation_config.json', 'tokenizer.json', 'modeling.py'] });
  assert.equal(JSON.stringify(model.tokenizer!.tokenizer), '{"model":{}}');
  assert.deepEqual([...model.tokenizer!.others.keys()], ['generation_config.json']);
  await model.close();
});

const values = Float32Array.from({ length: 64 * 96 }, (_, i) => Math.fround(Math.sin(i) * 3));

test('views give any range of bytes of the float32 values, from halves and from blocks', async () => {
  const half = memoryTensor('w', 'f16', [64, 96], encodeNumbers('f16', values));
  const blocks = memoryTensor('w', 'q8_0', [64, 96], encodeBlocks('q8_0', values, 64, 96));
  for (const [tensor, tolerance] of [[half, 2e-3], [blocks, 2e-2]] as const) {
    const view = floatView(tensor);
    assert.deepEqual([view.type, view.shape, view.byteLength], ['f32', [64, 96], 64 * 96 * 4]);
    const whole = await view.read();
    const floats = new Float32Array(whole.buffer, whole.byteOffset, values.length);
    assert.ok(floats.every((value, i) => Math.abs(value - values[i]) < tolerance));
    assert.deepEqual(await view.read(130, 1027), whole.slice(130, 1027));
    const turned = transposedView(tensor);
    assert.deepEqual(turned.shape, [96, 64]);
    const bytes = await turned.read();
    const columns = new Float32Array(bytes.buffer, bytes.byteOffset, values.length);
    for (let i = 0; i < 64; i++) for (let j = 0; j < 96; j++) assert.equal(columns[j * 64 + i], floats[i * 96 + j]);
    assert.deepEqual(await turned.read(255, 4099), bytes.slice(255, 4099));
  }
});

test('a matrix larger than a panel is turned in several', async () => {
  // 8 rows of 2 304 000 values: panels of 2 097 152 columns.
  const width = 2_304_000;
  let reads = 0;
  const matrix: TensorRef = {
    name: 'wide', type: 'f32', shape: [8, width], byteLength: 8 * width * 4,
    read: async (begin = 0, end = 8 * width * 4) => {
      reads += end - begin;
      const values = new Float32Array((end - begin) / 4);
      for (let i = 0; i < values.length; i++) values[i] = begin / 4 + i;
      return new Uint8Array(values.buffer);
    },
  };
  const turned = transposedView(matrix);
  const column = 2_097_151;
  const bytes = await turned.read(column * 32, (column + 2) * 32);
  const expected = [column, column + 1].flatMap((j) => Array.from({ length: 8 }, (_, i) => Math.fround(i * width + j)));
  assert.deepEqual([...new Float32Array(bytes.buffer)], expected);
  assert.equal(reads, 2 * matrix.byteLength);
});
