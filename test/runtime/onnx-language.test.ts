/** Language models in ONNX files that fewbit wrote, on the low-bit engine: the logits that ONNX Runtime gives of the same file. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, i64, type Tensor } from '../../src/engine/tensor.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { linearSites, type Linear } from '../../src/graph/linear.ts';
import { quantize } from '../../src/jobs/quantize-node.ts';
import { run } from '../../src/jobs/run-node.ts';
import { saveLanguageModel } from '../../src/jobs/save-language-model-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { initialLlama } from '../../src/models/llama-init.ts';
import type { Mamba1Config } from '../../src/models/mamba1-config.ts';
import type { Mamba2Config } from '../../src/models/mamba2-config.ts';
import { languageNote, languageNoteOf, openOnnxLanguageModel } from '../../src/models/onnx-language-model.ts';
import { f16ToF32, f32ToF16 } from '../../src/numeric/half.ts';
import { normal } from '../../src/numeric/random.ts';
import { LlamaDecoder, type DecoderOptions } from '../../src/runtime/llama-decoder.ts';
import { MambaDecoder } from '../../src/runtime/mamba-decoder.ts';
import { addBranches } from '../../src/transform/add-branch.ts';
import type { Branch } from '../../src/transform/low-rank.ts';
import { distance } from './outputs.ts';

const asset = (name: string): string => fileURLToPath(new URL(`../../assets/${name}`, import.meta.url));
let folder = '';
const tokens = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 300);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fewbit-onnx-language-'));
  const host = await openSource(asset('host-llama-shakespeare'));
  const model = initialLlama('random', { vocabulary: 1024, hidden: 128, intermediate: 256, layers: 2, heads: 4, kvHeads: 2, context: 64 }, { seed: 1, tokenizer: host.language!.tokenizer! });
  await saveLanguageModel(model, join(folder, 'model'));
  await host.close();
});
after(() => rm(folder, { recursive: true }));

/** Files of the small model. */
async function written(name: string, request: Partial<Parameters<typeof quantize>[0]>): Promise<string[]> {
  const output = join(folder, name);
  const { outputs } = await quantize({ model: join(folder, 'model'), to: 'onnx', output, verdict: false, threads: 1, ...request });
  return outputs.map(({ file }) => join(output, file));
}

async function ortLogits(file: string | Uint8Array, { layers, kvHeads, headDim }: LlamaConfig): Promise<Float32Array> {
  const session = await ortNode.open(typeof file === 'string' ? { path: file } : { bytes: file });
  const empty = (): Tensor => f32([1, kvHeads, 0, headDim], new Float32Array(0));
  const past = layers.flatMap((_, i) => ['key', 'value'].map((kind) => [`past_key_values.${i}.${kind}`, empty()] as const));
  const count = tokens.length;
  const { logits } = await session.run({ input_ids: i64([1, count], tokens), attention_mask: i64([1, count], tokens.map(() => 1)), position_ids: i64([1, count], tokens.map((_, i) => i)), ...Object.fromEntries(past) });
  await session.dispose();
  return logits.data as Float32Array;
}

const random = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => f16ToF32(f32ToF16(normal(7, count, i) / 8)));

/** How far the decoder's logits of a file are from the runtime's. */
async function far(file: string, options: DecoderOptions = {}): Promise<number> {
  const source = await openSource(file);
  const { config, tensors } = openOnnxLanguageModel(source.graph, 'model', undefined);
  const decoder = await LlamaDecoder.open(config as LlamaConfig, tensors, { context: 64, ...options });
  const found = decoder.feed(tokens, { all: true });
  await source.close();
  return distance(found, await ortLogits(file, config as LlamaConfig));
}

test('floats, integers, tables and trellises: within what rounding inputs to 8 bits does, on either side', async () => {
  const files = await written('weights', { weights: 'f32,int4/g32,uint4/g64,int3/g32,uint3/g96,nvfp4,nf4/b64+dq,nf3/b64@bf16+nested8x256,tcq2.25/l8+had', recipe: ['rtn'] });
  assert.equal(files.length, 9);
  for (const file of files) {
    const distant = await far(file);
    assert.ok(distant < 0.02, `${file}: relative distance ${distant}`);
  }
  assert.ok((await far(files[0])) < 1e-5);
});

test('a network that a rotation changed is refused as such', async () => {
  const [file] = await written('turned', { weights: 'int4/g32', recipe: ['rotate+rtn'] });
  const { graph, close } = await openSource(file);
  assert.throws(() => openOnnxLanguageModel(graph, 'turned', undefined), /turned holds a network that a recipe changed/);
  await close();
});

/** Text that calibrates. */
const data = asset('shakespeare/heldout.txt');

test('COMET: sorted channels, and blocks of inputs in 4 and 8 bits as products of integers', async () => {
  const [file] = await written('comet', { weights: ['int4/g128'], recipe: ['comet-eighth'], data, calibrationSamples: 4 });
  const distant = await far(file);
  assert.ok(distant < 0.02, `relative distance ${distant}`);
  assert.ok((await far(file, { cache: 'int4' })) < 0.05);
});

test('branches of low rank beside layers, one first factor for all that share an input', async () => {
  const source = await openSource(join(folder, 'model'));
  const { config, rawConfig } = source.language!;
  const groups = new Map<string, Linear[]>();
  for (const site of linearSites(source.graph)) if (site.id !== 'model.embed_tokens.weight') groups.set(site.input, [...(groups.get(site.input) ?? []), site]);
  const rank = 6;
  const branched = addBranches(source.graph, await Promise.all([...groups.values()].map(async (sites) => ({
    sites, residuals: await Promise.all(sites.map((site) => site.weightMatrix())),
    branch: { rank, down: random(rank * sites[0].cols), ups: sites.map(({ rows }) => random(rows * rank)) } as Branch,
  }))));
  const graph = { ...branched.graph, metadata: new Map([[languageNote, languageNoteOf(rawConfig, new Map(), new Map())]]) };
  const { tensors } = openOnnxLanguageModel(graph, 'model', undefined);
  const decoder = await LlamaDecoder.open(config as LlamaConfig, tensors, { context: 64 });
  const found = decoder.feed(tokens, { all: true });
  const plain = (await LlamaDecoder.open(config as LlamaConfig, source.language!.tensors, { context: 64 })).feed(tokens, { all: true });
  const expected = await ortLogits(await onnxBytes(graph), config as LlamaConfig);
  assert.ok(distance(plain, expected) > 0.1, 'branches count');
  assert.ok(distance(found, expected) < 1e-5);
  await source.close();
});

test('dynamic int8, text with a tokenizer from elsewhere, and what is not a language model', async () => {
  const [file] = await written('int8', { bits: [8] });
  assert.ok((await far(file)) < 0.03);
  const settings = { model: file, prompt: 'ROMEO:', maxTokens: 4, threads: 1 };
  await assert.rejects(run(settings), { message: /has no tokenizer.json/ });
  assert.equal((await run({ ...settings, tokenizer: join(folder, 'model') })).ids.length, 4);
  // As in a folder of transformers.js, of which the inner one is stood in.
  const inner = join(folder, 'outer', 'onnx');
  await mkdir(inner, { recursive: true });
  await copyFile(file, join(inner, 'model.onnx'));
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) await copyFile(join(folder, 'model', name), join(folder, 'outer', name));
  const before = process.cwd();
  process.chdir(inner);
  try {
    assert.equal((await run({ ...settings, model: 'model.onnx' })).ids.length, 4);
  } finally {
    process.chdir(before);
  }
  await assert.rejects(run({ model: asset('kws-dscnn/kws-dscnn.onnx'), prompt: 'x' }), { message: /is not a language model/ });
});

for (const name of ['mamba1-bytes', 'mamba2-groups']) test(`${name}: files whose weights alone were rounded; what a recipe put around the scan is refused`, async () => {
  const host = asset(name);
  const output = join(folder, name);
  const { outputs } = await quantize({ model: host, to: 'onnx', output, verdict: false, threads: 1, weights: 'f32,uint4/g32,int8/channel,nf4,int3/g32,tcq3/l8+had', recipe: ['rtn'] });
  const half = await quantize({ model: host, to: 'onnx', output, verdict: false, threads: 1, bits: [8] });
  const bytes = tokens.map((id) => id % 256);
  for (const { file } of [...outputs, ...half.outputs]) {
    const path = join(output, file);
    const source = await openSource(path);
    const { config, tensors } = openOnnxLanguageModel(source.graph, 'model', undefined);
    const found = (await MambaDecoder.open(config as Mamba1Config | Mamba2Config, tensors)).feed(bytes, { all: true });
    await source.close();
    const session = await ortNode.open({ path });
    const { logits } = await session.run({ input_ids: i64([1, bytes.length], bytes) });
    await session.dispose();
    const distant = distance(found, logits.data as Float32Array);
    assert.ok(distant < (file.includes('f32') ? 1e-4 : 0.03), `${file}: relative distance ${distant}`);
  }
  const changed = await quantize({ model: host, to: 'onnx', output, verdict: false, threads: 1, weights: 'int8/channel', activations: 'int8/tensor', recipe: ['mambaquant'], data, calibrationSamples: 2 });
  await assert.rejects(run({ model: join(output, changed.outputs[0].file), tokenizer: host, prompt: 'x', threads: 1 }), { code: 'onnxLanguage.changed' });
});
