/** GGUF files of the main job: the type of each tensor, and what llama.cpp makes of the files. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { ggufFileType, ggufParts, ggufTensorTypes } from '../../src/export/gguf.ts';
import { fileSink, openFile, openFolder } from '../../src/files/fs-node.ts';
import { makeImatrix } from '../../src/files/imatrix.ts';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import type { ByteSink } from '../../src/files/source.ts';
import { floatTensor, type TensorType } from '../../src/tensor-ref.ts';
import { silentProgress } from '../../src/jobs/progress.ts';
import { outputSpecs } from '../../src/jobs/outputs.ts';
import { parseSettings, type QuantizeRequest } from '../../src/jobs/settings.ts';
import { languageSource } from '../../src/jobs/source.ts';
import type { WriteContext, Written } from '../../src/jobs/target.ts';
import { ggufTarget } from '../../src/jobs/targets/gguf.ts';
import { openGguf } from '../../src/files/gguf.ts';
import { openGgufLanguageModel } from '../../src/models/gguf-model.ts';
import { openLanguageModel } from '../../src/models/language-model.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { inlinePool } from '../../src/round/pool.ts';
import { distance, withFolder, withLlama } from '../models/gguf-file.ts';

const assets = join(import.meta.dirname, '../../assets');
const host = await openLanguageModel(await openFolder(join(assets, 'host-llama-shakespeare')));
after(() => host.close());
const source = languageSource(host, 'host', '', 'huggingface', []);
const heldout = await readFile(join(assets, 'shakespeare/heldout.txt'), 'utf8');
const ids = openTokenizer(host.tokenizer!).encode(heldout).slice(0, 128);

const matrix = (name: string, rows: number, cols: number) => ({ tensor: floatTensor(name, [rows, cols], new Float32Array(rows * cols)), weight: name });
const vector = { tensor: floatTensor('norm', [8], new Float32Array(8)), weight: 'norm' };

/** Asked type, width of a row, type with fallback: the table of llama.cpp, and half precision where nothing fits. */
const fallbacks: readonly (readonly [TensorType, number, TensorType])[] = [
  ['q2_k', 64, 'iq4_nl'], ['q3_k', 64, 'iq4_nl'], ['iq4_xs', 96, 'iq4_nl'], ['q4_k', 64, 'q5_0'], ['q5_k', 32, 'q5_1'], ['q6_k', 160, 'q8_0'],
  ['q4_k', 172, 'f16'], ['q8_0', 172, 'f16'], ['q4_0', 48, 'f16'],
];

test('a width that does not divide is refused, or takes the nearest type that fits', () => {
  for (const [type, cols, expected] of fallbacks) {
    const parts = { tensors: [matrix('a', 2, cols), vector, matrix('b', 2, 256)] };
    const block = /_k|iq4_xs/.test(type) ? 256 : 32;
    const why = `type ${type} needs rows divisible by ${block}, got ${cols}`;
    assert.deepEqual(ggufTensorTypes(parts, type).map(({ target, refusal }) => [target, refusal]), [[type, why], ['f32', undefined], [type, undefined]]);
    assert.deepEqual(ggufTensorTypes(parts, type, { allowFallback: true }).map(({ target, fallback }) => [target, fallback]), [[expected, why], ['f32', undefined], [type, undefined]]);
  }
});

test('the number of the file is that of the type most values have', () => {
  const number = (type: TensorType, cols: number) => ggufFileType(ggufTensorTypes({ tensors: [matrix('a', 2, cols), vector] }, type, { allowFallback: true })).value;
  assert.deepEqual(([['f32', 8], ['f16', 8], ['bf16', 8], ['q8_0', 64], ['q6_k', 256], ['q4_k', 256], ['q4_k', 64], ['q2_k', 256], ['iq4_xs', 256], ['mxfp4', 32]] as const).map(([type, cols]) => number(type, cols)),
    [0, 1, 32, 7, 18, 14, 8, 10, 30, 38]);
});

test('names, the licence and the shape of q and k are those of GGUF', async () => {
  const { metadata, tensors } = ggufParts({ ...host, tokenizer: { ...host.tokenizer!, others: new Map([['README.md', new TextEncoder().encode('---\nlanguage: en\nlicense: mit\n---\n')]]) } });
  assert.equal(metadata.get('general.license')?.value, 'mit');
  assert.equal(metadata.get('general.architecture')?.value, 'llama');
  const q = tensors.find(({ tensor }) => tensor.name === 'blk.1.attn_q.weight')!;
  assert.equal(q.weight, 'model.layers.1.self_attn.q_proj.weight');
  const original = host.tensors.get(q.weight)!;
  // Row 3 of head 2 (rows of 256 float32) is row 1 of its second half: pairs lie side by side.
  assert.deepEqual(await q.tensor.read((64 + 3) * 1024, (64 + 4) * 1024), await original.read((64 + 17) * 1024, (64 + 18) * 1024));
});

async function run(request: Partial<QuantizeRequest>, folder: string, rest: Partial<WriteContext> = {}): Promise<{ written: Written; path: string; lines: string[] }> {
  const settings = parseSettings({ model: 'host', output: folder, to: 'gguf', ...request });
  const [spec] = outputSpecs(source, settings);
  const plan = await ggufTarget.plan(source, spec, settings);
  assert.deepEqual(plan.refusals, []);
  const lines: string[] = [];
  const pool = inlinePool();
  const none = async (): Promise<never> => assert.fail('not needed');
  const written = await ggufTarget.write({
    model: source, spec, settings, plan, pool, progress: { ...silentProgress, line: (line) => lines.push(line) },
    apply: none, importance: none, open: (path): Promise<ByteSink> => fileSink(join(folder, path)), ...rest,
  });
  const path = join(folder, spec.file);
  const file = await openFile(path);
  // Planned sizes are those of the file.
  const { tensors } = await openGguf(file);
  for (const { name, target, bytesAfter, shape } of plan.tensors) {
    const found = tensors.get(name)!;
    assert.deepEqual([found.type, found.byteLength, found.shape], [target, bytesAfter, shape], name);
  }
  await file.close();
  return { written, path, lines };
}

/**
 * Largest and mean distance between next-token distributions of llama.cpp and of float32 arithmetic on the same file.
 * llama.cpp rounds what enters a matrix: to half precision, to 8 bits in blocks of 32, or to 8 bits in blocks of 256.
 */
const agreement: readonly (readonly [type: string, max: number, mean: number])[] = [['f16', 2e-3, 3e-4], ['q8_0', 0.03, 0.006], ['q4_k', 0.06, 0.012]];

for (const [type, max, mean] of agreement) {
  test(`${type}: llama.cpp and our own reading of the file agree`, () => withFolder(async (folder) => {
    const { written, path, lines } = await run({ weights: [type] }, folder);
    assert.equal(lines.length, written.tensors.length);
    const model = await openGgufLanguageModel(await openFile(path));
    assert.equal(model.lowBit.length, type === 'f16' ? 0 : host.linears.length + 1);
    const session = await ortNode.open({ bytes: await onnxBytes(model.graph()) });
    const { logits } = await session.run({ input_ids: i64([1, ids.length], ids) });
    const found = await withLlama(path, async (llama) => {
      assert.deepEqual(llama.tokenize(heldout.slice(0, 5000)), openTokenizer(model.tokenizer!).encode(heldout.slice(0, 5000)));
      return distance(await llama.logits(ids), logits.data as Float32Array, model.config.vocabSize);
    });
    assert.ok(found.max < max && found.mean < mean, JSON.stringify(found));
    await Promise.all([session.dispose(), model.close()]);
  }));
}

test('columns are weighed by what was observed, or by a given matrix; both files say so', () => withFolder(async (folder) => {
  const meanSquares = (cols: number) => Float32Array.from({ length: cols }, (_, i) => (i % 16 === 0 ? 100 : 1));
  const observed = new Map(host.linears.map((name) => [name, meanSquares(host.tensors.get(name)!.shape[1])]));
  const plain = await run({ weights: ['q4_k'], recipe: ['rtn'], output: 'a' }, folder);
  const plainBytes = await readFile(plain.path);
  const weighed = await run({ weights: ['q4_k'], recipe: ['importance'], data: 'some' }, folder, { importance: async () => observed });
  const bytes = await readFile(weighed.path);
  assert.notDeepEqual(bytes, plainBytes);
  assert.match(weighed.written.notes.join(), /^token_embd\.weight has no importance/);
  const stats = new Map([...observed].map(([name, sums]) => [ggufParts(host).tensors.find(({ weight }) => weight === name)!.tensor.name, { sums, counts: Float32Array.of(1) }]));
  const given = await run({ weights: ['q4_k'], recipe: ['importance'], imatrix: 'folder/some.imatrix' }, folder, { imatrix: async () => makeImatrix(stats, { chunkCount: 3 }) });
  assert.deepEqual(given.written.tensors, weighed.written.tensors);
  const file = await openFile(given.path);
  const { metadata } = await openGguf(file);
  assert.deepEqual(['file', 'entries_count', 'chunks_count'].map((key) => metadata.get(`quantize.imatrix.${key}`)?.value), ['some.imatrix', host.linears.length, 3]);
  await file.close();
}));

test('kept layers keep their type and values', () => withFolder(async (folder) => {
  const { path, written } = await run({ weights: ['q4_k'], keep: ['model.layers.0.*', 'blk.1.attn_q.weight'] }, folder);
  const model = await openGgufLanguageModel(await openFile(path));
  const kept = [...model.tensors.values()].filter(({ type, shape }) => type === 'f32' && shape.length === 2).map(({ name }) => name);
  assert.deepEqual(kept, [...host.linears.filter((name) => name.startsWith('model.layers.0.')), 'model.layers.1.self_attn.q_proj.weight']);
  for (const name of kept) assert.deepEqual(await model.tensors.get(name)!.read(), await host.tensors.get(name)!.read());
  assert.ok(written.tensors.every(({ target, squaredError }) => (target === 'q4_k') === (squaredError !== undefined)));
  await model.close();
}));
