/** ONNX files of onnxruntime-genai's model builder on the low-bit engine: the logits that ONNX Runtime gives of the same file. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, i64 } from '../../src/engine/tensor.ts';
import type { Json } from '../../src/files/json.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { int } from '../../src/graph/build.ts';
import type { Graph, Node } from '../../src/graph/graph.ts';
import { makeNode } from '../../src/graph/rewrite.ts';
import { knownCacheInputs } from '../../src/graph/cache-widths.ts';
import { weightCount } from '../../src/graph/weight-count.ts';
import { convert } from '../../src/jobs/convert-node.ts';
import { evaluateModel } from '../../src/jobs/evaluate-node.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { run } from '../../src/jobs/run-node.ts';
import { isGenai, openGenaiLanguageModel } from '../../src/models/genai-onnx.ts';
import { readLlamaConfig, type LlamaConfig } from '../../src/models/llama-config.ts';
import { llamaConfig } from '../../src/models/llama-init.ts';
import { llamaShapes } from '../../src/models/llama-weights.ts';
import { normal } from '../../src/numeric/random.ts';
import { openFolder } from '../../src/files/fs-node.ts';
import { openOnnxFolder, openTextModel } from '../../src/runtime/index.ts';
import { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';
import { floatTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { sendFile, serve } from '../files/server.ts';
import { genaiGraph, type GenaiOptions } from './genai-file.ts';
import { distance } from './outputs.ts';

const folder = mkdtempSync(join(tmpdir(), 'fewbit-genai-'));
after(() => rmSync(folder, { recursive: true }));

const size = { vocabulary: 1024, hidden: 128, intermediate: 256, layers: 2, heads: 4, kvHeads: 2, context: 256 };
const tokens = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 1000);

/** A configuration with random weights. */
function made(changed: Record<string, Json>): { raw: Record<string, Json>; config: LlamaConfig; tensors: Map<string, TensorRef> } {
  const raw = { ...llamaConfig(size), ...changed } as Record<string, Json>;
  const config = readLlamaConfig(raw);
  const tensors = new Map([...llamaShapes(config)].map(([name, shape], stream): [string, TensorRef] => [name, floatTensor(name, shape, Float32Array.from(
    { length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (shape.length > 1 ? 0.1 : 0.3) * normal(3, stream, i) + (name.includes('norm') ? 1 : 0)))]));
  return { raw, config, tensors };
}

/** How far logits are from the runtime's: of the weights' values, and of their codes, for which inputs are rounded to 8 bits. */
async function far(graph: Graph, raw: Record<string, Json>, { kvHeads, headDim, layers }: LlamaConfig): Promise<{ values: number; codes: number }> {
  const model = openGenaiLanguageModel(graph, raw, 'model', undefined);
  const feed = async (tensors: ReadonlyMap<string, TensorRef>): Promise<Float32Array> => (await LlamaDecoder.open(model.config as LlamaConfig, tensors, { context: 64 })).feed(tokens, { all: true });
  const session = await ortNode.open({ bytes: await onnxBytes(graph) });
  const past = layers.flatMap((_, i) => ['key', 'value'].map((kind) => [`past_key_values.${i}.${kind}`, f32([1, kvHeads, 0, headDim], new Float32Array(0))] as const));
  const { logits } = await session.run({ input_ids: i64([1, 40], tokens), attention_mask: i64([1, 40], tokens.map(() => 1)), ...Object.fromEntries(past) });
  await session.dispose();
  const values = new Map([...model.tensors].map(([name, { coded: _, ...tensor }]) => [name, tensor]));
  return { values: distance(await feed(values), logits.data as Float32Array), codes: distance(await feed(model.tensors), logits.data as Float32Array) };
}

const cases: readonly (readonly [what: string, config: Record<string, Json>, options: GenaiOptions])[] = [
  ['floats, a head that is the table', {}, { packed: false, joined: true }],
  ['4 bits, table and head from the same codes', {}, { packed: true, joined: true }],
  ['4 bits beside a float table, biases of joined products', { model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'], tie_word_embeddings: false }, { packed: true, joined: true }],
  ['norms of queries and keys, products by themselves', { model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'], head_dim: 32, tie_word_embeddings: false }, { packed: true, joined: false }],
];
for (const [what, changed, options] of cases) {
  test(`files of the model builder: ${what}`, async () => {
    const { raw, config, tensors } = made(changed);
    const graph = await genaiGraph(config, tensors, options);
    assert.ok(isGenai(graph));
    const { values, codes } = await far(graph, raw, config);
    assert.ok(values < 1e-5, `relative distance of values ${values}`);
    assert.ok(codes < (options.packed ? 0.05 : 1e-5), `relative distance of codes ${codes}`);
  });
}

test('a table in floats beside a rounded head is not the head', async () => {
  const { raw, config, tensors } = made({});
  const graph = await genaiGraph({ ...config, tied: false }, new Map([...tensors, ['lm_head.weight', tensors.get('model.embed_tokens.weight')!]]), { packed: true, joined: true });
  const { rawConfig, tensors: found } = openGenaiLanguageModel(graph, raw, 'model', undefined);
  assert.equal(rawConfig.tie_word_embeddings, false);
  assert.ok(found.get('lm_head.weight')!.coded !== undefined && found.get('model.embed_tokens.weight')!.coded === undefined);
});

test('what the engine does not carry out is named', async () => {
  const { raw, config, tensors } = made({});
  const graph = await genaiGraph(config, tensors, { packed: true, joined: true });
  const opened = (change: (nodes: readonly Node[]) => readonly Node[], given = raw): unknown => openGenaiLanguageModel({ ...graph, nodes: [...change(graph.nodes)] }, given, 'model', undefined);
  const attention = (change: Partial<Node['attributes']>) => (nodes: readonly Node[]): Node[] => nodes.map((node) => (node.op === 'GroupQueryAttention' ? { ...node, attributes: { ...node.attributes, ...change } as Node['attributes'] } : node));
  assert.throws(() => opened(attention({ smooth_softmax: int(1) })), { message: 'model: /model/layers.0/attn/GroupQueryAttention has smooth_softmax, which the low-bit engine does not carry out' });
  assert.throws(() => opened((nodes) => [...nodes, makeNode('Tanh', ['logits'], ['capped'], { name: '/capped' })]), { message: 'model: /capped is a Tanh, which the low-bit engine does not carry out' });
  assert.throws(() => opened((nodes) => [...nodes, makeNode('MatMul', ['logits', 'logits'], ['more'], { name: '/model/layers.0/attn/q_proj/lora/MatMul' })]), { message: 'model: /model/layers.0/attn/q_proj/lora/MatMul is a MatMul that has no place in a network of llama' });
  assert.throws(() => opened((nodes) => nodes.filter(({ name }) => !name.includes('down_proj'))), { message: 'model multiplies by no model.layers.0.mlp.down_proj.weight' });
  assert.throws(() => opened((nodes) => nodes, { ...raw, intermediate_size: 512 }), { message: /^model: the weight of .*gate_proj\/MatMul_Q4 is not read: 4 bits, \[256, 128\] where \[512, 128\] is multiplied$/ });
});

test('the width of keys and values that the builder leaves open is that of attention, and packed weights count', async () => {
  const { config, tensors } = made({});
  const graph = await genaiGraph(config, tensors, { packed: true, joined: true });
  assert.deepEqual(knownCacheInputs(graph).map(({ shape }) => shape).slice(2, 4), [['batch', 2, 'past', 32], ['batch', 2, 'past', 32]]);
  const floats = await genaiGraph(config, tensors, { packed: false, joined: true });
  const weights = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  // Cosines and sines are stored beside them; the table is the head, and the builder stores it once more as floats.
  const caches = 2 * 256 * 16;
  assert.equal(weightCount(graph), weights + caches);
  assert.equal(weightCount(floats), weights + caches + 1024 * 128);
});

test('fewbit run reads config.json and the tokenizer of a folder for transformers.js', async () => {
  const { raw, config, tensors } = made({});
  const graph = await genaiGraph(config, tensors, { packed: true, joined: true });
  const model = join(folder, 'model', 'onnx', 'model_q4.onnx');
  mkdirSync(join(folder, 'model', 'onnx'), { recursive: true });
  writeFileSync(model, await onnxBytes(graph));
  await assert.rejects(run({ model, prompt: 'ROMEO:', threads: 1 }), { code: 'onnxFolder.config' });
  writeFileSync(join(folder, 'model', 'config.json'), JSON.stringify(raw));
  for (const file of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(new URL(`../../assets/host-llama-shakespeare/${file}`, import.meta.url), join(folder, 'model', file));
  const { ids } = await run({ model, prompt: 'ROMEO:', threads: 1, maxTokens: 4 });
  assert.equal(ids.length, 4);
  const [verdict] = await evaluateModel({ models: [model], data: new URL('../../assets/shakespeare/heldout.txt', import.meta.url).pathname, evaluationSamples: 2, threads: 1 }, silentProgress);
  assert.equal(verdict.score!.metrics[0].name, 'perplexity');
  assert.ok(verdict.bitsPerWeight > 4.5 && verdict.bitsPerWeight < 6, String(verdict.bitsPerWeight));
  const text = await openTextModel(await openOnnxFolder(await openFolder(join(folder, 'model')), 'onnx/model_q4.onnx'), { context: 64 });
  const written: string[] = [];
  for await (const piece of text.write('ROMEO:', { maxTokens: 4 })) written.push(piece);
  assert.equal(written.join(''), (await run({ model, prompt: 'ROMEO:', threads: 1, maxTokens: 4 })).text);
  // The same behind an address: config.json, the tokenizer and tensors beside the file are asked for there.
  await convert({ model, to: 'onnx', externalData: true, output: join(folder, 'model', 'onnx', 'beside.onnx') });
  const server = await serve((request, response) => {
    const path = join(folder, new URL(request.url!, 'http://host').pathname);
    if (existsSync(path)) sendFile(request, response, readFileSync(path));
    else response.writeHead(404).end();
  });
  try {
    for (const file of ['model_q4.onnx?key=1', 'beside.onnx']) assert.deepEqual((await run({ model: `${server.url}/model/onnx/${file}`, prompt: 'ROMEO:', threads: 1, maxTokens: 4 })).ids, ids);
    assert.ok(server.log.some((line) => line.startsWith('GET /model/config.json?key=1')));
  } finally {
    await server.close();
  }
});
