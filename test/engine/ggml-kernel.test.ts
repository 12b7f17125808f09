import assert from 'node:assert/strict';
import test from 'node:test';
import { encodeBlocksFast, hasKernel } from '../../src/engine/kernels/ggml.ts';
import { encodeBlocks, ggmlTypes } from '../../src/formats/ggml/index.ts';
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from '../../src/numeric/half.ts';
import { normal, uniform } from '../../src/numeric/random.ts';

const cols = 1280;
type Fill = (i: number, row: number) => number;

/** One kind of row each; every kind at several magnitudes. */
const kinds: Record<string, Fill> = {
  normal: (i, row) => normal(1, row, i),
  'heavy tails': (i, row) => normal(2, row, i) ** 3,
  uniform: (i, row) => uniform(3, row, i),
  negative: (i, row) => -uniform(4, row, i),
  zeros: () => 0,
  'negative zeros': () => -0,
  ones: () => 1,
  'minus ones': () => -1,
  'one in a block': (i) => (i % 32 === 5 ? 1 : 0),
  'equal magnitudes, alternating': (i) => (i % 2 === 0 ? -1 : 1),
  'few levels': (i, row) => Math.round(3 * normal(5, row, i)) / 4,
  'few bits': (i, row) => Math.round(16 * normal(10, row, i)) / 16,
  'zeros of both signs': (i, row) => (i % 3 === 0 ? 0 : i % 3 === 1 ? -0 : uniform(11, row, i >> 5) < 0.5 ? 0 : uniform(12, row, i)),
  steps: (i) => ((31 * i * i + 17 * i + 11) % 257) - 128,
  'blocks of zeros between': (i, row) => ((i >> 5) % 3 === 0 ? 0 : normal(6, row, i)),
  'blocks of very unequal size': (i, row) => normal(7, row, i) * 2 ** -((i >> 4) % 24),
  'outliers': (i, row) => normal(8, row, i) * (i % 97 === 0 ? 100 : 1),
  'constant blocks': (i) => ((i >> 4) % 7) - 3,
};
const magnitudes = [1, 0.02, 300, 1e-8, 1e-13, 1e-16, 1e-30, 1e-40];
const names = Object.keys(kinds);
const rows = names.length * magnitudes.length;
const values = new Float32Array(rows * cols);
for (let row = 0; row < rows; row++) {
  const fill = kinds[names[row % names.length]];
  const magnitude = magnitudes[Math.floor(row / names.length)];
  for (let i = 0; i < cols; i++) values[row * cols + i] = fill(i, row) * magnitude;
}
const weights: Record<string, Float32Array | undefined> = {
  none: undefined,
  random: Float32Array.from({ length: cols }, (_, i) => normal(9, 0, i) ** 2),
  'some zero': Float32Array.from({ length: cols }, (_, i) => (i % 48 < 20 ? 0 : 1 + (i % 5))),
};

function assertSame(found: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(found);
  assert.equal(found.length, expected.length);
  const at = found.findIndex((byte, i) => byte !== expected[i]);
  if (at < 0) return;
  assert.fail(`byte ${at} of ${found.length} is ${found[at]}, not ${expected[at]}`);
}

const bytesOf = (array: Float32Array | Uint16Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

for (const type of ggmlTypes) {
  for (const [name, importance] of Object.entries(weights)) {
    if (!hasKernel(type, importance !== undefined)) continue;
    test(`the kernel of ${type} gives the bytes of its plain twin, importance: ${name}`, () => {
      const expected = encodeBlocks(type, values, rows, cols, importance);
      assertSame(encodeBlocksFast(type, 'f32', bytesOf(values), rows, cols, importance), expected);
    });
  }
  if (!hasKernel(type, false)) continue;
  test(`the kernel of ${type} reads f16 and bf16, and any number of blocks`, () => {
    const some = values.subarray(0, 32 * cols);
    const halves = encodeF16(some);
    assertSame(encodeBlocksFast(type, 'f16', bytesOf(halves), 32, cols), encodeBlocks(type, decodeF16(halves), 32, cols));
    const bfloats = encodeBf16(some);
    assertSame(encodeBlocksFast(type, 'bf16', bytesOf(bfloats), 32, cols), encodeBlocks(type, decodeBf16(bfloats), 32, cols));
    for (const width of [256, 768]) {
      const few = values.subarray(cols, cols + 3 * width);
      const importance = weights.random!.subarray(0, width);
      assertSame(encodeBlocksFast(type, 'f32', bytesOf(few), 3, width), encodeBlocks(type, few, 3, width));
      if (hasKernel(type, true)) assertSame(encodeBlocksFast(type, 'f32', bytesOf(few), 3, width, importance), encodeBlocks(type, few, 3, width, importance));
    }
  });
}

test('a value that is not finite is left to the plain encoder', () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    const few = values.slice(0, 2 * cols);
    few[cols + 700] = bad;
    assert.equal(encodeBlocksFast('q4_k', 'f32', bytesOf(few), 2, cols), undefined);
    assert.equal(encodeBlocksFast('q4_k', 'f16', bytesOf(encodeF16(few)), 2, cols), undefined);
    assert.equal(encodeBlocksFast('q4_k', 'bf16', bytesOf(encodeBf16(few)), 2, cols), undefined);
  }
});
