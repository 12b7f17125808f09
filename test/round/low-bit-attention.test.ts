/** Low-bit attention: the values that the card works out by hand, what cancels exactly, what orders accuracy, and what must not be NaN. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attention, causal } from '../../src/engine/kernels/attention.ts';
import { decodeMiniFloat, e4m3, encodeMiniFloat } from '../../src/formats/minifloat-code.ts';
import { normal } from '../../src/numeric/random.ts';
import { cosine } from '../../src/numeric/statistics.ts';
import { channelMeans, encodeRows, rowGroup, smoothRows, type RowGrouping } from '../../src/round/attention-codes.ts';
import { cutMantissa, exactArithmetic, lowBitAttention, nothingSmoothed, type AttentionArithmetic, type AttentionHead } from '../../src/round/low-bit-attention.ts';

const all = { queries: true, keys: true, values: true };
const draws = (count: number, stream: number, seed = 3): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(seed, stream, i));
const headOf = (rows: number, keys: number, width: number, visible?: AttentionHead['visible']): AttentionHead =>
  ({ query: draws(rows * width, 1), keys: draws(keys * width, 2), values: draws(keys * width, 3), width, ...(visible === undefined ? {} : { visible }) });
const near = (a: ArrayLike<number>, b: ArrayLike<number>, within: number, what = ''): void => {
  for (let i = 0; i < a.length; i++) assert.ok(Math.abs(a[i] - b[i]) <= within, `${what} at ${i}: ${a[i]} against ${b[i]}`);
};

test('means taken out of queries and keys leave scores less a constant of the row', () => {
  const query = Float32Array.of(4, 1, 4, -1, 5, 0, 3, 0);
  const keys = Float32Array.of(10, 2, 10, -2, 12, 0, 8, 0);
  const [q, k] = [smoothRows(query, 2, 128), smoothRows(keys, 2)];
  assert.deepEqual([...q.means[0]], [4, 0]);
  assert.deepEqual([...channelMeans(keys, 2)], [10, 0]);
  const scores = (rest: Float32Array, mean: ArrayLike<number>, against: Float32Array): number[][] => [0, 1, 2, 3].map((r) => [0, 1, 2, 3].map((c) => (rest[2 * r] + mean[0]) * against[2 * c] + (rest[2 * r + 1] + mean[1]) * against[2 * c + 1]));
  const smoothed = scores(q.rest, q.means[0], k.rest);
  assert.deepEqual(smoothed, [[2, -2, 8, -8], [-2, 2, 8, -8], [0, 0, 10, -10], [0, 0, 6, -6]]);
  assert.deepEqual(scores(query, [0, 0], keys).map((row, r) => row.map((score) => score - [40, 40, 50, 30][r])), smoothed);
});

test('codes round half away from zero, and the addend of the scale keeps halves below the tie', () => {
  const x = Float32Array.of(3.5, 1.75, -0.25, 0.24);
  const { codes, scales } = encodeRows(x, 4, 4, 'token', 'queries');
  assert.deepEqual([...codes], [7, 3, 0, 0]);
  assert.ok(Math.abs(scales[0] - 0.5000001) < 3e-8);
  assert.deepEqual([...encodeRows(x, 4, 4, 'token', 'queries', 0).codes], [7, 4, -1, 0]);
});

test('rows of a warp and of a tile of keys belong to the groups that threads hold', () => {
  const first = (side: 'queries' | 'keys'): number[] => Array.from({ length: 10 }, (_, r) => rowGroup('thread', side, r));
  assert.deepEqual(first('queries'), [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
  assert.deepEqual(first('keys'), [0, 0, 1, 1, 2, 2, 3, 3, 0, 0]);
  assert.deepEqual([31, 32, 33, 127, 128].map((r) => rowGroup('thread', 'queries', r)), [7, 8, 9, 31, 32]);
  assert.deepEqual([63, 64, 66].map((r) => rowGroup('thread', 'keys', r)), [3, 4, 5]);
  assert.deepEqual([31, 32, 127, 128].map((r) => rowGroup('warp', 'queries', r)), [0, 1, 3, 4]);
});

test('E4M3 as the card has it', () => {
  const rounded = [0.3, 17, 19, 447.8898, 2 ** -6, 2 ** -9].map((x) => decodeMiniFloat(encodeMiniFloat(x, e4m3), e4m3));
  assert.deepEqual(rounded, [0.3125, 16, 20, 448, 2 ** -6, 2 ** -9]);
  assert.ok(Math.abs(2 ** 8.807 - 447.8898) < 1e-3);
});

test('a register of 13 bits of mantissa drops what lies below', () => {
  assert.equal(cutMantissa(1 + 2 ** -13), 1 + 2 ** -13);
  assert.equal(cutMantissa(1 + 2 ** -13 + 2 ** -14), 1 + 2 ** -13);
  assert.equal(cutMantissa(-1 - 2 ** -14), -1);
});

const shapes: Readonly<Record<string, AttentionHead>> = {
  'one query': headOf(1, 200, 16), 'one key': headOf(3, 1, 16), 'fewer than a tile': headOf(5, 7, 16),
  'causal, lengths that divide nothing': headOf(70, 131, 16, causal(70, 131)), 'more queries than keys': headOf(150, 40, 16), 'first rows masked': headOf(8, 5, 16, { shown: -2, step: 1 }),
};
for (const [name, head] of Object.entries(shapes)) {
  test(`${name}: smoothing alone changes nothing beyond 1e-6, and no choice gives a NaN`, () => {
    const exact = lowBitAttention(head, exactArithmetic);
    const smoothed = lowBitAttention(head, { smooth: all });
    near(smoothed.output, exact.output, 1e-6, 'output');
    near(smoothed.logSumExp.map((x) => Math.max(x, -1e9)), exact.logSumExp.map((x) => Math.max(x, -1e9)), 1e-5, 'log of the sum');
    for (const fp8 of [undefined, 'float', 'single', 'two-level', 'half'] as const) {
      for (const grouping of ['tensor', 'tile', 'warp', 'thread', 'token'] as const) {
        const { output } = lowBitAttention(head, { smooth: all, codes: { bits: 4, grouping }, ...(fp8 === undefined ? {} : { fp8 }) });
        assert.ok(output.every(Number.isFinite), `${fp8} ${grouping}`);
      }
    }
  });
}

test('a constant added to all keys changes nothing at all', () => {
  // Eighths stay exact when the constant is added.
  const head = headOf(40, 64, 8);
  const eighths = (x: Float32Array): Float32Array => x.map((value) => Math.round(value * 8) / 8);
  const plain = { ...head, keys: eighths(head.keys) };
  const shifted = { ...plain, keys: plain.keys.map((value, i) => value + 16 * (1 + (i % 8))) };
  const how: AttentionArithmetic = { smooth: all, codes: { bits: 4, grouping: 'thread' }, fp8: 'two-level' };
  assert.deepEqual(lowBitAttention(shifted, how).output, lowBitAttention(plain, how).output);
});

test('constant values come back', () => {
  const head = { ...headOf(20, 70, 8), values: new Float32Array(70 * 8).fill(0) };
  assert.ok(lowBitAttention(head, { smooth: nothingSmoothed, codes: { bits: 4, grouping: 'thread' }, fp8: 'two-level' }).output.every((value) => value === 0));
  const ones = { ...head, values: new Float32Array(70 * 8).fill(1.5) };
  near(lowBitAttention(ones, { smooth: all, fp8: 'single' }).output, new Float32Array(160).fill(1.5), 1e-9);
});

test('biased channels: smoothing queries and keys is worth most of four bits, finer groups the rest', () => {
  const [count, width] = [128, 64];
  const bias = [1, 2].map((side) => draws(width, 10 + side).map((value) => value * 4));
  const biased = (stream: number, side: number): Float32Array => draws(count * width, stream).map((value, i) => value + bias[side][i % width]);
  const head: AttentionHead = { query: biased(1, 0), keys: biased(2, 1), values: draws(count * width, 3), width };
  const exact = lowBitAttention(head, exactArithmetic).output;
  const by = (queries: boolean, keys: boolean, grouping: RowGrouping, bits: 4 | 8 = 4): number => cosine(lowBitAttention(head, { smooth: { queries, keys, values: false }, codes: { bits, grouping } }).output, exact);
  assert.ok(by(false, false, 'tensor') < 0.93 && by(true, true, 'tensor') > 0.97 && by(true, true, 'tensor') > by(false, true, 'tensor'));
  assert.ok(by(true, true, 'thread') > by(true, true, 'tensor') && by(true, true, 'token') > by(true, true, 'thread') - 1e-3);
  assert.ok(by(false, true, 'thread', 8) > 0.99 && by(true, true, 'thread', 8) > 0.9999);
});

test('the kernel computes what the page says, up to its codes of values', () => {
  const head = headOf(150, 200, 32, causal(150, 200));
  for (const bits of [4, 8] as const) {
    const page = lowBitAttention(head, { smooth: all, codes: { bits, grouping: 'thread' } }).output;
    const kernel = attention({ query: head.query, keys: head.keys, values: head.values, heads: 1, kvHeads: 1, width: 32 }, { visible: head.visible!, lowBit: { bits } });
    assert.ok(cosine(page, kernel) > 0.99999, `${bits} bits: ${cosine(page, kernel)}`);
  }
});
