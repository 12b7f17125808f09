/** Moves between files, judged by the engines and clients that load them. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { AutoTokenizer, env } from '@huggingface/transformers';
import { gguf } from '@huggingface/gguf';
import * as ort from 'onnxruntime-node';
import { FewbitError } from '../../src/errors.ts';
import { openFile, writeFileAtomic } from '../../src/files/fs-node.ts';
import { openGgufFiles } from '../../src/files/gguf-split.ts';
import { writeGguf } from '../../src/files/gguf-write.ts';
import type { GgufValue } from '../../src/files/gguf.ts';
import { makeImatrix, readImatrix, writeImatrix } from '../../src/files/imatrix.ts';
import { openSafetensors, writeSafetensors } from '../../src/files/safetensors.ts';
import { memorySink } from '../../src/files/source.ts';
import { copyTensor, floatTensor, memoryTensor, type TensorRef } from '../../src/tensor-ref.ts';
import { decodeBlocks, encodeBlocks } from '../../src/formats/ggml/index.ts';
import { convert, planConvert } from '../../src/jobs/convert-node.ts';
import type { ConvertRequest } from '../../src/jobs/convert.ts';
import { quantize } from '../../src/jobs/quantize-node.ts';
import { withLlama } from '../models/gguf-file.ts';

const assets = join(import.meta.dirname, '../../assets');
const host = join(assets, 'host-llama-shakespeare');
const root = mkdtempSync(join(tmpdir(), 'fewbit-convert-'));
after(() => rmSync(root, { recursive: true, force: true }));
const at = (name: string): string => join(root, name);
const text = readFileSync(join(assets, 'shakespeare/heldout.txt'), 'utf8').slice(0, 3000);
const hash = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

async function tensorsAt(path: string): Promise<Map<string, { type: string; bytes: Uint8Array }>> {
  const source = await openFile(path);
  const { tensors } = path.endsWith('.gguf') ? await openGgufFiles(source) : await openSafetensors(source);
  const read = new Map<string, { type: string; bytes: Uint8Array }>();
  for (const [name, tensor] of tensors) read.set(name, { type: tensor.type, bytes: await tensor.read() });
  await source.close();
  return read;
}

async function refused(request: ConvertRequest, line: RegExp): Promise<void> {
  await assert.rejects(convert(request), (error) => {
    assert.ok(error instanceof FewbitError, String(error));
    assert.match(error.message, line);
    assert.ok(!error.message.includes('\n'));
    return true;
  });
}

const source = hash(join(host, 'model.safetensors'));
await convert({ model: host, to: 'gguf', output: at('whole.gguf') });

test('a folder through GGUF and back has the same tensors, and cuts text into the same tokens', async () => {
  const result = await convert({ model: at('whole.gguf'), to: 'huggingface', output: at('back') });
  assert.ok(result.tensors.every(({ error }) => error === 0));
  assert.deepEqual(await tensorsAt(at('back/model.safetensors')), await tensorsAt(join(host, 'model.safetensors')));
  assert.deepEqual(readdirSync(at('back')).sort(), ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']);
  const [before, later] = (['config.json', 'config.json'] as const).map((file, i) => JSON.parse(readFileSync(join(i === 0 ? host : at('back'), file), 'utf8')) as Record<string, unknown>);
  for (const key of ['model_type', 'hidden_size', 'num_hidden_layers', 'num_key_value_heads', 'rope_theta', 'rms_norm_eps', 'tie_word_embeddings', 'bos_token_id']) assert.deepEqual(later[key], before[key], key);
  env.allowRemoteModels = false;
  const [first, second] = await Promise.all([host, at('back')].map((folder) => AutoTokenizer.from_pretrained(folder, { local_files_only: true })));
  assert.deepEqual(second.encode(text), first.encode(text));
  await withLlama(at('whole.gguf'), async ({ tokenize }) => assert.deepEqual([...tokenize(text)], first.encode(text, { add_special_tokens: false })));
  assert.equal(hash(join(host, 'model.safetensors')), source, 'the source stays as it is');
});

test('a GGUF model in parts loads in llama.cpp, and merges to the same bytes', async () => {
  const { files } = await convert({ model: at('whole.gguf'), to: 'gguf', shardSize: '4MB', output: at('parts/m.gguf') });
  assert.deepEqual(readdirSync(at('parts')).sort(), [1, 2, 3, 4].map((no) => `m-0000${no}-of-00004.gguf`));
  assert.equal(files.length, 4);
  const { metadata } = await gguf(at('parts/m-00002-of-00004.gguf'), { allowLocalFile: true });
  assert.deepEqual(['split.no', 'split.count', 'split.tensors.count'].map((key) => metadata[key as keyof typeof metadata]), [1, 4, 56]);
  const ids = [1, 40, 77, 12, 300];
  const logits = await Promise.all([at('whole.gguf'), at('parts/m-00001-of-00004.gguf')].map((path) => withLlama(path, (llama) => llama.logits(ids))));
  assert.deepEqual(logits[1], logits[0]);
  // Any part stands for the model.
  await convert({ model: at('parts/m-00003-of-00004.gguf'), to: 'gguf', merge: true, output: at('merged.gguf') });
  assert.equal(hash(at('merged.gguf')), hash(at('whole.gguf')));
  await convert({ model: at('parts/m-00001-of-00004.gguf'), to: 'huggingface', output: at('from-parts') });
  assert.deepEqual(await tensorsAt(at('from-parts/model.safetensors')), await tensorsAt(join(host, 'model.safetensors')));
});

test('parts that are missing, renamed or of another model are told in one line', async () => {
  await convert({ model: at('whole.gguf'), to: 'gguf', shardSize: '8MB', output: at('torn/m.gguf') });
  mkdirSync(at('other'));
  const model = at('torn/m-00001-of-00002.gguf');
  renameSync(at('torn/m-00002-of-00002.gguf'), at('other/x.gguf'));
  await refused({ model, to: 'gguf', merge: true, output: at('never.gguf') }, /m-00002-of-00002\.gguf is not beside it/);
  await refused({ model: at('other/x.gguf'), to: 'gguf', merge: true, output: at('never.gguf') }, /one of 2 files, but has another name/);
  writeFileSync(at('torn/m-00002-of-00002.gguf'), readFileSync(model));
  await refused({ model, to: 'gguf', merge: true, output: at('never.gguf') }, /split\.no is 0, its name says 1/);
  assert.ok(!existsSync(at('never.gguf')));
});

test('safetensors are cut and merged, tensor by tensor and byte by byte', async () => {
  const { files } = await convert({ model: host, to: 'huggingface', shardSize: '5MB', output: at('shards') });
  assert.ok(files.filter(({ path }) => path.endsWith('.safetensors')).every(({ bytes }) => bytes < 5.1e6));
  const index = JSON.parse(readFileSync(at('shards/model.safetensors.index.json'), 'utf8')) as { weight_map: Record<string, string> };
  assert.equal(Object.keys(index.weight_map).length, 56);
  assert.equal(readFileSync(at('shards/tokenizer.json'), 'utf8'), readFileSync(join(host, 'tokenizer.json'), 'utf8'));
  await convert({ model: at('shards'), to: 'safetensors', merge: true, output: at('one') });
  assert.deepEqual(await tensorsAt(at('one/model.safetensors')), await tensorsAt(join(host, 'model.safetensors')));
  assert.ok(!existsSync(at('one/model.safetensors.index.json')));
  // Overwriting leaves no shard of before behind.
  await convert({ model: host, to: 'huggingface', merge: true, overwrite: true, output: at('shards') });
  assert.deepEqual(readdirSync(at('shards')).filter((name) => name.startsWith('model')), ['model.safetensors']);
});

test('low-bit GGUF weights become the floats that their blocks stand for', async () => {
  await quantize({ model: host, to: 'gguf', weights: 'q4_k', output: at('low'), verdict: false });
  const [file] = readdirSync(at('low')).filter((name) => name.endsWith('.gguf'));
  const result = await convert({ model: join(at('low'), file), to: 'gguf', type: 'f32', output: at('decoded.gguf') });
  const decoded = result.tensors.filter(({ source: type }) => type === 'q4_k');
  assert.equal(decoded.length, 43);
  assert.ok(decoded.every(({ error, target }) => error === 0 && target === 'f32'));
  const [before, later] = [await tensorsAt(join(at('low'), file)), await tensorsAt(at('decoded.gguf'))];
  for (const [name, { type, bytes }] of before) {
    const values = type === 'q4_k' ? new Uint8Array(decodeBlocks('q4_k', bytes, new Float32Array((bytes.length / 144) * 256)).buffer as ArrayBuffer) : bytes;
    assert.deepEqual(later.get(name)!.bytes, values, name);
  }
  const { metadata } = await gguf(at('decoded.gguf'), { allowLocalFile: true });
  assert.equal(metadata['general.file_type' as keyof typeof metadata], 0);
  await withLlama(at('decoded.gguf'), async ({ logits }) => assert.ok(!(await logits([1, 2])).some(Number.isNaN)));
  const half = await convert({ model: join(at('low'), file), to: 'huggingface', type: 'bf16', output: at('low-hf') });
  assert.ok(half.tensors.every(({ target }) => target === 'bf16'));
  assert.ok(half.tensors.some(({ error }) => error! > 1e-4 && error! < 4e-3), 'what bf16 loses is told');
  assert.equal((JSON.parse(readFileSync(at('low-hf/config.json'), 'utf8')) as { torch_dtype: string }).torch_dtype, 'bfloat16');
});

for (const layout of ['gptq', 'awq', 'compressed-tensors'] as const) {
  test(`${layout} weights are decoded: (code − zero point) · scale, in f32 exactly`, async () => {
    const folder = at(`low-${layout}`);
    await quantize({ model: host, to: 'safetensors', layout, weights: 'int4/g128', output: folder, verdict: false });
    const [name] = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
    const result = await convert({ model: join(folder, name), to: 'huggingface', type: 'f32', output: at(`float-${layout}`) });
    assert.ok(result.tensors.every(({ error }) => error === 0));
    assert.match(result.notes.join(), /42 low-bit weights are decoded/);
    assert.equal((JSON.parse(readFileSync(at(`float-${layout}/config.json`), 'utf8')) as Record<string, unknown>).quantization_config, undefined);
    const layer = 'model.layers.0.mlp.up_proj.weight';
    const { bytes } = (await tensorsAt(at(`float-${layout}/model.safetensors`))).get(layer)!;
    const values = new Float32Array(bytes.slice().buffer);
    const before = new Float32Array((await tensorsAt(join(host, 'model.safetensors'))).get(layer)!.bytes.slice().buffer);
    // A group of 128 has at most 16 levels, one scale apart, and every value is on the level nearest to its own.
    for (let begin = 0; begin < values.length; begin += 128) {
      const levels = [...new Set(values.slice(begin, begin + 128))].sort((a, b) => a - b);
      assert.ok(levels.length <= 16);
      const step = Math.min(...levels.slice(1).map((level, i) => level - levels[i]));
      for (let i = begin; i < begin + 128; i++) {
        const clipped = Math.abs(values[i]) > 6.5 * step;
        assert.ok(clipped || Math.abs(values[i] - before[i]) <= 0.51 * step, `${i}`);
      }
    }
    // Without a type they stay as they are, and that is said.
    const kept = await planConvert({ model: join(folder, name), to: 'huggingface', output: at('x') });
    assert.match(kept.notes.join(), /stay low-bit/);
  });
}

test('a value that f16 cannot hold is refused, and nothing is left behind', async () => {
  const folder = at('loud');
  mkdirSync(folder);
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) writeFileSync(join(folder, name), readFileSync(join(host, name)));
  const file = await openFile(join(host, 'model.safetensors'));
  const { tensors } = await openSafetensors(file);
  const sink = memorySink();
  const loud = 'model.layers.2.mlp.up_proj.weight';
  const bytes = (await tensors.get(loud)!.read()).slice();
  new DataView(bytes.buffer).setFloat32(4 * 77, 70_000, true);
  await writeSafetensors(sink, [...tensors.values()].map((tensor): ReturnType<typeof copyTensor> => copyTensor(tensor.name === loud ? memoryTensor(loud, 'f32', tensor.shape, bytes) : tensor)));
  await writeFileAtomic(join(folder, 'model.safetensors'), sink.bytes());
  await file.close();
  await convert({ model: folder, to: 'huggingface', type: 'bf16', output: at('loud-bf16') });
  for (const [to, output] of [['gguf', 'quiet/m.gguf'], ['huggingface', 'quiet'], ['onnx', 'quiet/m.onnx']] as const) {
    await refused({ model: at('loud-bf16'), to, type: 'f16', output: at(output) }, /value 70144 at index \d+ is beyond type f16/);
    assert.ok(!existsSync(at('quiet')), `${to}: no folder, no part of a file`);
  }
});

test('an ONNX model with its tensors beside it and back gives the same numbers in ONNX Runtime', async () => {
  const model = join(assets, 'kws-dscnn/kws-dscnn.onnx');
  const beside = await convert({ model, to: 'onnx', externalData: true, output: at('onnx/kws.onnx') });
  assert.deepEqual(beside.files.map(({ path }) => path), [at('onnx/kws.onnx_data'), at('onnx/kws.onnx')]);
  assert.ok(beside.files[1].bytes < 20_000);
  await convert({ model: at('onnx/kws.onnx'), to: 'onnx', externalData: false, output: at('single.onnx') });
  await convert({ model, to: 'onnx', type: 'f16', output: at('half.onnx') });
  const input = new ort.Tensor('float32', Float32Array.from({ length: 490 }, (_, i) => 20 * Math.sin(i)), [1, 49, 10, 1]);
  const outputs: number[][] = [];
  for (const path of [model, at('onnx/kws.onnx'), at('single.onnx'), at('half.onnx')]) {
    const session = await ort.InferenceSession.create(path);
    const shaped = session.inputMetadata[0];
    const dims = 'shape' in shaped ? shaped.shape.map((dim) => (typeof dim === 'number' ? dim : 1)) : [];
    outputs.push([...(await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', input.data as Float32Array, dims) }))[session.outputNames[0]].data as Float32Array]);
  }
  assert.deepEqual(outputs[1], outputs[0]);
  assert.deepEqual(outputs[2], outputs[0]);
  outputs[3].forEach((value, i) => assert.ok(Math.abs(value - outputs[0][i]) < 0.02, `half: ${value} for ${outputs[0][i]}`));
  await refused({ model: at('onnx/kws.onnx'), to: 'onnx', output: at('onnx/kws.onnx_data'), overwrite: true }, /is what is read/);
});

test('a language model becomes a float ONNX graph whose first choices are those of llama.cpp', async () => {
  await convert({ model: at('whole.gguf'), to: 'onnx', output: at('lm.onnx') });
  const half = await convert({ model: host, to: 'onnx', type: 'f16', output: at('lm-half.onnx') });
  assert.ok(half.tensors.filter(({ source: type, target }) => type === 'f32' && target === 'f16').every(({ error }) => error! > 0 && error! < 1e-3));
  const ids = [1, 40, 77, 12, 300, 5, 9, 210];
  const expected = await withLlama(at('whole.gguf'), ({ logits }) => logits(ids));
  const vocabulary = expected.length / ids.length;
  const best = (rows: Float32Array): number[] => ids.map((_, row) => { const from = row * vocabulary; return rows.subarray(from, from + vocabulary).reduce((top, value, i, all) => (value > all[top] ? i : top), 0); });
  for (const path of [at('lm.onnx'), at('lm-half.onnx')]) {
    const session = await ort.InferenceSession.create(path);
    const integers = (values: number[]): ort.Tensor => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
    const feeds: Record<string, ort.Tensor> = { input_ids: integers(ids), attention_mask: integers(ids.map(() => 1)), position_ids: integers([...ids.keys()]) };
    for (const meta of session.inputMetadata) {
      if (!meta.name.startsWith('past_') || !('shape' in meta)) continue;
      feeds[meta.name] = new ort.Tensor('float32', new Float32Array(0), meta.shape.map((dim, axis) => (axis === 0 ? 1 : axis === 2 ? 0 : (dim as number))));
    }
    const { logits } = await session.run(feeds);
    assert.deepEqual(best(logits.data as Float32Array), best(expected), path);
  }
});

test('GGUF files of any architecture are cut, merged and decoded; float32 in a file of other types stays', async () => {
  const values = Float32Array.from({ length: 8 * 256 }, (_, i) => Math.sin(i));
  const packed = encodeBlocks('q8_0', values, 8, 256);
  const metadata = new Map<string, GgufValue>([
    ['general.architecture', { type: 'string', value: 'nobody-knows' }], ['general.file_type', { type: 'u32', value: 7 }], ['general.alignment', { type: 'u32', value: 32 }],
    ['nobody-knows.list', { type: 'array', of: 'string', value: ['a', 'ü'] }], ['quantize.imatrix.file', { type: 'string', value: 'x' }],
  ]);
  const tensors: TensorRef[] = [memoryTensor('a.weight', 'q8_0', [8, 256], packed), floatTensor('conv.weight', [4, 8], values.slice(0, 32)), floatTensor('norm.weight', [8], values.slice(0, 8))];
  const sink = memorySink();
  await writeGguf(sink, metadata, tensors.map((tensor) => copyTensor(tensor)));
  await writeFileAtomic(at('odd-Q8_0.gguf'), sink.bytes());
  await convert({ model: at('odd-Q8_0.gguf'), to: 'gguf', shardSize: '1kB', output: at('odd/odd.gguf') });
  await convert({ model: at('odd/odd-00002-of-00002.gguf'), to: 'gguf', type: 'f16', merge: true, output: at('odd-f16.gguf') });
  const read = await gguf(at('odd-f16.gguf'), { allowLocalFile: true });
  assert.deepEqual(read.tensorInfos.map(({ name, dtype }) => [name, dtype]), [['a.weight', 1], ['conv.weight', 0], ['norm.weight', 0]]);
  assert.deepEqual(read.metadata['nobody-knows.list' as keyof typeof read.metadata], ['a', 'ü']);
  assert.deepEqual([read.metadata['general.file_type' as keyof typeof read.metadata], read.metadata['quantize.imatrix.file' as keyof typeof read.metadata]], [1, undefined]);
  await refused({ model: at('odd-Q8_0.gguf'), to: 'huggingface', output: at('odd-hf') }, /nobody-knows" cannot be built/);
});

test('importance matrices pass between their forms, and what was measured rounds to the same bytes again', async () => {
  const matrix = makeImatrix(new Map([
    ['blk.0.attn_q.weight', { sums: Float32Array.of(512, 1024, 0), counts: Float32Array.of(1024) }],
    ['blk.0.ffn_up_exps.weight', { sums: Float32Array.of(512, 1024, 9, 9), counts: Float32Array.of(512, 0) }],
  ]), { datasets: ['a.txt'], chunkCount: 2, chunkSize: 512 });
  const sink = memorySink();
  await writeImatrix(sink, matrix);
  await writeFileAtomic(at('m.gguf'), sink.bytes());
  await convert({ model: at('m.gguf'), to: 'imatrix', output: at('m.dat') });
  // The older form by hand: count; name, calls (of 512 vectors each), sums that are means times calls; chunks; the text's name.
  const i32 = (value: number): number[] => [...new Uint8Array(Int32Array.of(value).buffer)];
  const f32 = (...numbers: number[]): number[] => [...i32(numbers.length), ...new Uint8Array(Float32Array.from(numbers).buffer)];
  const words = (value: string): number[] => [...i32(value.length), ...new TextEncoder().encode(value)];
  assert.deepEqual([...readFileSync(at('m.dat'))], [
    ...i32(2), ...words('blk.0.attn_q.weight'), ...i32(2), ...f32(1, 2, 0), ...words('blk.0.ffn_up_exps.weight'), ...i32(1), ...f32(1, 2, 1, 1), ...i32(2), ...words('a.txt'),
  ]);
  await convert({ model: at('m.dat'), to: 'imatrix', output: at('again.gguf') });
  const again = await openFile(at('again.gguf'));
  assert.deepEqual((await readImatrix(again)).entries, matrix.entries);
  await again.close();

  const common = { model: host, to: 'gguf', weights: 'q4_0', verdict: false } as const;
  for (const file of ['seen.gguf', 'seen.dat']) {
    await quantize({ ...common, output: at(`observed-${file}`), data: join(assets, 'shakespeare/train.txt'), calibrationSamples: 2, saveImatrix: at(file) });
    await quantize({ ...common, output: at(`given-${file}`), imatrix: at(file) });
    const [observed, given] = await Promise.all([`observed-${file}`, `given-${file}`].map((folder) => tensorsAt(join(at(folder), 'host-llama-shakespeare-Q4_0.gguf'))));
    assert.deepEqual(given, observed);
  }
  await assert.rejects(quantize({ ...common, output: at('none'), saveImatrix: at('none.gguf') }), /--save-imatrix measures a language model on --data/);
});

test('a plan writes nothing; what cannot be done is one line', async () => {
  const plan = await planConvert({ model: host, to: 'gguf', type: 'bf16', shardSize: '3MB', output: at('planned/p.gguf') });
  assert.equal(plan.files.length, 3);
  assert.equal(plan.tensors.filter(({ target }) => target === 'bf16').length, 43);
  assert.ok(!existsSync(at('planned')));
  const cases: [ConvertRequest, RegExp][] = [
    [{ model: at('nowhere'), to: 'gguf' }, /no such file or folder/],
    [{ model: assets, to: 'gguf' }, /nothing here that can be converted/],
    [{ model: host, to: 'tflite' }, /--to: known: huggingface, gguf, onnx, imatrix/],
    [{ model: host, to: 'gguf', type: 'q4_k' }, /--type: known: f32, f16, bf16 \(given: "q4_k"\)/],
    [{ model: host, to: 'gguf', shardSize: 'big' }, /--shard-size: must look like 2GB/],
    [{ model: host, to: 'onnx', type: 'bf16' }, /ONNX graphs are written in f32 or f16/],
    [{ model: host, to: 'onnx', shardSize: '1GB' }, /--shard-size does nothing for an ONNX graph/],
    [{ model: host, to: 'imatrix' }, /does not become an importance matrix/],
    [{ model: join(assets, 'kws-dscnn/kws-dscnn.onnx'), to: 'gguf' }, /is an ONNX graph, which does not become a GGUF model/],
    [{ model: host, to: 'huggingface', output: host }, /is what is read, and stays as it is/],
    [{ model: at('whole.gguf'), to: 'gguf', output: at('whole.gguf'), overwrite: true }, /is what is read, and stays as it is/],
    [{ model: host, to: 'gguf', output: at('whole.gguf') }, /whole\.gguf exists already/],
    [{ model: host, to: 'huggingface', output: at('whole.gguf') }, /is a file, the output is a folder/],
  ];
  for (const [request, line] of cases) await refused(request, line);
  assert.equal(readdirSync(dirname(at('x'))).filter((name) => name.endsWith('.part')).length, 0);
});
