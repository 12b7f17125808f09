import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gguf } from '@huggingface/gguf';
import { writeGguf } from '../../src/files/gguf-write.ts';
import type { GgufValue } from '../../src/files/gguf.ts';
import { makeImatrix, mergeImatrices, readImatrix, writeImatrix, type Imatrix } from '../../src/files/imatrix.ts';
import { memorySink, memorySource } from '../../src/files/source.ts';
import { copyTensor, floatTensor } from '../../src/tensor-ref.ts';

const read = (bytes: Uint8Array): Promise<Imatrix> => readImatrix(memorySource('x', bytes));
const written = async (imatrix: Imatrix): Promise<Uint8Array> => {
  const sink = memorySink();
  await writeImatrix(sink, imatrix);
  return sink.bytes();
};
const i32 = (value: number): number[] => [...new Uint8Array(Int32Array.of(value).buffer)];
const f32 = (...values: number[]): number[] => [...new Uint8Array(Float32Array.from(values).buffer)];
const text = (value: string): number[] => { const bytes = [...new TextEncoder().encode(value)]; return [...i32(bytes.length), ...bytes]; };
const binary = (...parts: number[][]): Uint8Array => Uint8Array.from(parts.flat());

test('reads the older form, with and without what follows the entries', async () => {
  const entries = [i32(2), text('blk.0.attn_q.weight'), i32(4), i32(3), f32(4, 8, 0), text('output.weight'), i32(0), i32(1), f32(2)];
  const old = await read(binary(...entries));
  assert.deepEqual(old.entries, new Map([['blk.0.attn_q.weight', Float32Array.of(1, 2, 0)], ['output.weight', Float32Array.of(2)]]));
  assert.deepEqual([old.chunkCount, old.datasets], [0, []]);
  const newer = await read(binary(...entries, i32(7), text('wiki.train.raw')));
  assert.deepEqual([newer.chunkCount, newer.chunkSize, newer.datasets], [7, 0, ['wiki.train.raw']]);
});

const sample = makeImatrix(new Map([
  ['blk.0.ffn_down.weight', { sums: Float32Array.of(10, 20, 0), counts: Float32Array.of(10) }],
  ['blk.0.ffn_up_exps.weight', { sums: Float32Array.of(2, 4, 9, 9), counts: Float32Array.of(2, 0) }],
]), { datasets: ['a.txt'], chunkCount: 2, chunkSize: 512 });

test('gives mean squares, and 1 to experts that were never asked', () => {
  assert.deepEqual(sample.entries.get('blk.0.ffn_down.weight'), Float32Array.of(1, 2, 0));
  assert.deepEqual(sample.entries.get('blk.0.ffn_up_exps.weight'), Float32Array.of(1, 2, 1, 1));
});

test('writes what it reads, and what another reader of GGUF finds', async () => {
  const bytes = await written(sample);
  assert.deepEqual(await read(bytes), sample);
  assert.deepEqual(await written(await read(bytes)), bytes);
  const folder = await mkdtemp(join(tmpdir(), 'fewbit-imatrix-'));
  try {
    await writeFile(join(folder, 'x.gguf'), bytes);
    const { metadata, tensorInfos } = await gguf(join(folder, 'x.gguf'), { allowLocalFile: true });
    assert.equal(metadata['general.type' as keyof typeof metadata], 'imatrix');
    assert.deepEqual(tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number), dtype]), [
      ['blk.0.ffn_down.weight.in_sum2', [3, 1], 0], ['blk.0.ffn_down.weight.counts', [1, 1], 0],
      ['blk.0.ffn_up_exps.weight.in_sum2', [2, 2], 0], ['blk.0.ffn_up_exps.weight.counts', [1, 2], 0],
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('merges sums, counts and texts', async () => {
  const other = makeImatrix(new Map([
    ['blk.0.ffn_down.weight', { sums: Float32Array.of(0, 10, 30), counts: Float32Array.of(5) }],
    ['output.weight', { sums: Float32Array.of(3), counts: Float32Array.of(3) }],
  ]), { datasets: ['b.txt', 'a.txt'], chunkCount: 1, chunkSize: 512 });
  const merged = mergeImatrices([sample, other]);
  assert.deepEqual(merged.entries.get('blk.0.ffn_down.weight'), Float32Array.of(10 / 15, 2, 2));
  assert.deepEqual([merged.datasets, merged.chunkCount, merged.chunkSize], [['a.txt', 'b.txt'], 3, 512]);
  assert.ok(merged.entries.has('output.weight'));
  // A chunk of the older form stands for 512 vectors here.
  const old = await read(binary(i32(1), text('output.weight'), i32(1), i32(1), f32(9)));
  assert.equal(mergeImatrices([other, old]).entries.get('output.weight')![0], Math.fround((3 + 9 * 512) / (3 + 512)));
  const wider = makeImatrix(new Map([['output.weight', { sums: Float32Array.of(3, 3), counts: Float32Array.of(3) }]]));
  assert.throws(() => mergeImatrices([other, wider]), { code: 'imatrix.merge' });
  assert.throws(() => mergeImatrices([]), { code: 'imatrix.nothing' });
});

const plain = (type: string): [string, GgufValue] => ['general.type', { type: 'string', value: type }];
async function file(metadata: readonly [string, GgufValue][], tensors: Record<string, number[]>): Promise<Uint8Array> {
  const sink = memorySink();
  await writeGguf(sink, new Map(metadata), Object.entries(tensors).map(([name, values]) => copyTensor(floatTensor(name, [values.length], Float32Array.from(values)))));
  return sink.bytes();
}

test('refuses what is not an importance matrix, in one line each', async () => {
  const imatrix = plain('imatrix');
  const cases: readonly (readonly [Uint8Array, string])[] = [
    [await file([], { 'a.in_sum2': [1], 'a.counts': [1] }), 'notImatrix'],
    [await file([plain('model')], { 'a.in_sum2': [1], 'a.counts': [1] }), 'notImatrix'],
    [await file([imatrix], {}), 'notImatrix'],
    [await file([imatrix], { 'a.in_sum2': [1] }), 'pair'],
    [await file([imatrix], { 'a.counts': [1] }), 'pair'],
    [await file([imatrix], { 'a.in_sum2': [1, 2, 3], 'a.counts': [1, 1] }), 'shapes'],
    [await file([imatrix], { 'a.in_sum2': [], 'a.counts': [] }), 'shapes'],
    [await file([imatrix], { 'a.in_sum2': [1], 'a.counts': [] }), 'shapes'],
    [await file([imatrix], { 'a.in_sum2': [-1], 'a.counts': [1] }), 'value'],
    [await file([imatrix], { 'a.in_sum2': [Number.NaN], 'a.counts': [1] }), 'value'],
    [await file([imatrix], { 'a.in_sum2': [1], 'a.counts': [Infinity] }), 'value'],
    [await file([imatrix, ['imatrix.chunk_count', { type: 'string', value: 'x' }]], { 'a.in_sum2': [1], 'a.counts': [1] }), 'metadata'],
    [await file([imatrix, ['imatrix.datasets', { type: 'u32', value: 1 }]], { 'a.in_sum2': [1], 'a.counts': [1] }), 'metadata'],
    [new Uint8Array(0), 'notImatrix'], [binary(i32(0)), 'notImatrix'], [binary(i32(-1)), 'notImatrix'], [binary(i32(2 ** 31 - 1)), 'notImatrix'],
    [binary(i32(1)), 'truncated'], [binary(i32(1), i32(0)), 'name'], [binary(i32(1), i32(-5)), 'name'], [binary(i32(1), i32(1e9)), 'name'],
    [binary(i32(1), i32(4), [97]), 'truncated'], [binary(i32(1), i32(1), [0xff]), 'name'],
    [binary(i32(1), text('a'), i32(1), i32(0)), 'notImatrix'], [binary(i32(1), text('a'), i32(1), i32(-1)), 'notImatrix'], [binary(i32(1), text('a'), i32(-1), i32(1)), 'notImatrix'],
    [binary(i32(1), text('a'), i32(1), i32(2 ** 31 - 1)), 'truncated'], [binary(i32(1), text('a'), i32(1), i32(2), f32(1)), 'truncated'],
    [binary(i32(2), text('a'), i32(1), i32(1), f32(1), text('a'), i32(1), i32(1), f32(1)), 'duplicate'],
    [binary(i32(1), text('a'), i32(1), i32(1), f32(-2)), 'value'],
    [binary(i32(1), text('a'), i32(1), i32(1), f32(2), i32(1), text('t'), [0]), 'trailing'],
    [binary(i32(1), text('a'), i32(1), i32(1), f32(2), i32(1), i32(50), [97]), 'truncated'],
  ];
  for (const [bytes, code] of cases) {
    await assert.rejects(read(bytes), (error: Error & { code: string }) => error.code === `imatrix.${code}` && !error.message.includes('\n') && error.message.length < 400, code);
  }
});
