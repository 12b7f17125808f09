import assert from 'node:assert/strict';
import test from 'node:test';
import { floatTensor, memoryTensor } from '../../src/tensor-ref.ts';
import type { TensorOut, TensorRef, TensorType } from '../../src/tensor-ref.ts';
import { decodeBlocks, encodeBlocks, squaredErrorOf } from '../../src/formats/ggml/index.ts';
import { encodeF16 } from '../../src/numeric/half.ts';
import { normal } from '../../src/numeric/random.ts';
import { encodeTensor } from '../../src/round/encode-tensor.ts';
import { poolNode } from '../../src/round/pool-node.ts';
import { inlinePool } from '../../src/round/pool.ts';

const rows = 700;
const cols = 1024;
const values = Float32Array.from({ length: rows * cols }, (_, i) => normal(7, 0, i) * 0.02);
const matrix = floatTensor('blk.0.weight', [rows, cols], values);

async function bytesOf(out: TensorOut): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of out.chunks()) parts.push(chunk);
  return new Uint8Array(Buffer.concat(parts));
}

test('bytes and sums are those of the plain codec, with one thread and with two', async () => {
  const expected = encodeBlocks('q4_0', values, rows, cols);
  const error = squaredErrorOf(values, decodeBlocks('q4_0', expected));
  const sums: unknown[] = [];
  for (const pool of [inlinePool(), poolNode(2), poolNode(3)]) {
    const out = encodeTensor(matrix, 'q4_0', { pool, onDone: (stats) => sums.push(stats) });
    assert.deepEqual(await bytesOf(out), expected);
    await pool.close();
  }
  assert.deepEqual(sums[1], sums[0]);
  assert.deepEqual(sums[2], sums[0]);
  const [{ squaredError }] = sums as { squaredError: number }[];
  assert.ok(Math.abs(squaredError - error) <= 1e-12 * error, `${squaredError} ≠ ${error}`);
});

test('importance steers every tile', async () => {
  const importance = Float32Array.from({ length: cols }, (_, i) => 1 + (i % 7));
  const pool = poolNode(2);
  const out = await bytesOf(encodeTensor(matrix, 'q4_0', { pool, importance }));
  await pool.close();
  assert.deepEqual(out, encodeBlocks('q4_0', values, rows, cols, importance));
  assert.throws(() => encodeTensor(matrix, 'q4_0', { pool, importance: importance.subarray(1) }), /blk\.0\.weight: importance of 1023 columns for rows of 1024/);
});

test('halves, other element types and three dimensions are read; element types are written', async () => {
  const pool = inlinePool();
  const halves = new Uint8Array(encodeF16(values.subarray(0, 6 * cols)).buffer);
  const experts = memoryTensor('experts', 'f16', [2, 3, cols], halves);
  const blocks = await bytesOf(encodeTensor(experts, 'q8_0', { pool, name: 'blk.0.experts' }));
  const asFloats = await bytesOf(encodeTensor(experts, 'f32', { pool }));
  assert.deepEqual(blocks, encodeBlocks('q8_0', new Float32Array(asFloats.buffer), 6, cols));
  assert.deepEqual(await bytesOf(encodeTensor(experts, 'f16', { pool })), halves);
  const doubles = memoryTensor('d', 'f64', [2, 32], new Uint8Array(Float64Array.from({ length: 64 }, (_, i) => i / 8).buffer));
  const half = new Uint16Array((await bytesOf(encodeTensor(doubles, 'f16', { pool }))).buffer);
  assert.equal(half[8], 0x3c00);
  const again = memoryTensor('again', 'q8_0', [6, cols], blocks);
  const decoded = new Float32Array((await bytesOf(encodeTensor(again, 'f32', { pool }))).buffer);
  assert.deepEqual(decoded, decodeBlocks('q8_0', blocks));
});

test('errors name the tensor and the place in it, from a thread as from here', async () => {
  const bad = values.slice();
  bad[600 * cols + 5] = NaN;
  const far = floatTensor('far', [1, 2], Float32Array.of(1, 70000));
  for (const pool of [inlinePool(), poolNode(2)]) {
    await assert.rejects(bytesOf(encodeTensor(floatTensor('bad', [rows, cols], bad), 'q4_0', { pool })), {
      name: 'FewbitError', code: 'ggml.notFinite', message: `tensor bad: value NaN at index ${600 * cols + 5} cannot be encoded`,
    });
    await assert.rejects(bytesOf(encodeTensor(far, 'f16', { pool })), { code: 'encode.overflow', message: /tensor far: value 70000 at index 1 is beyond type f16/ });
    // A pool outlives a failed job.
    assert.equal((await bytesOf(encodeTensor(matrix, 'q8_0', { pool }))).byteLength, rows * cols / 32 * 34);
    await pool.close();
  }
});

test('reads stay a few tiles ahead of the writer and end when the writer stops', async () => {
  let open = 0;
  let begun = 0;
  const huge: TensorRef = {
    name: 'huge', type: 'f32', shape: [1 << 20, 4096], byteLength: 2 ** 34,
    read: async (begin = 0, end = 0) => { open++; begun++; await new Promise((done) => setTimeout(done, 1)); open--; return new Uint8Array(end - begin); },
  };
  const pool = poolNode(2);
  let taken = 0;
  for await (const chunk of encodeTensor(huge, 'q8_0' satisfies TensorType, { pool }).chunks()) {
    taken += chunk.byteLength;
    if (taken > 2_000_000) break;
  }
  assert.equal(open, 0);
  assert.ok(begun < 20, `${begun} tiles begun`);
  await pool.close();
});

test('a closed pool refuses, and a number of threads must make sense', async () => {
  const pool = poolNode(2);
  await pool.close();
  await assert.rejects(bytesOf(encodeTensor(matrix, 'q8_0', { pool })), /closed/);
  for (const threads of [0, 1.5, 1000]) assert.throws(() => poolNode(threads), /threads: .* is not a whole number from 1 to 256/);
});
