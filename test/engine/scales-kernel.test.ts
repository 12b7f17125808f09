import assert from 'node:assert/strict';
import test from 'node:test';
import { encodeFast, fitFast } from '../../src/engine/kernels/scales.ts';
import type { EncodeOptions } from '../../src/formats/format.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import type { ScaledFormat } from '../../src/formats/scaled.ts';
import { normal, uniform } from '../../src/numeric/random.ts';

const cols = 128;
type Fill = (i: number, row: number) => number;

/** One kind of row each; every kind at several magnitudes. */
const kinds: Fill[] = [
  (i, row) => normal(1, row, i),
  (i, row) => normal(2, row, i) ** 3,
  (i, row) => uniform(3, row, i),
  (i, row) => -uniform(4, row, i),
  () => 0,
  () => -0,
  () => 1,
  (i) => (i % 32 === 5 ? -1 : 0),
  (i) => (i % 2 === 0 ? -1 : 1),
  (i, row) => Math.round(3 * normal(5, row, i)) / 4,
  (i) => ((31 * i * i + 17 * i + 11) % 257) - 128,
  (i, row) => ((i >> 5) % 3 === 0 ? 0 : normal(6, row, i)),
  (i, row) => normal(7, row, i) * 2 ** -((i >> 4) % 24),
  (i, row) => normal(8, row, i) * (i % 97 === 0 ? 100 : 1),
];
const magnitudes = [1, 0.02, 1e5, 1e-13, 1e-41, 1e36];
const rows = kinds.length * magnitudes.length;
const values = new Float32Array(rows * cols);
for (let row = 0; row < rows; row++) {
  for (let i = 0; i < cols; i++) values[row * cols + i] = kinds[row % kinds.length](i, row) * magnitudes[Math.floor(row / kinds.length)];
}
const importances: Record<string, Float32Array | undefined> = {
  none: undefined,
  random: Float32Array.from({ length: cols }, (_, i) => normal(9, 0, i) ** 2),
  'some zero': Float32Array.from({ length: cols }, (_, i) => (i % 48 < 20 ? 0 : 1 + (i % 5))),
};
const spellings = [
  'int4/g128', 'int4/g32', 'int3/g64', 'int2/g32', 'int8/channel', 'int4-full/g32', 'uint4/g32', 'uint2/g32', 'uint3/g64', 'uint8/channel',
  'uint1/g32', 'int4/g4', 'int4/token', 'int4/g32@f16', 'uint4/g32@f16',
];

for (const spelling of spellings) {
  const format = parseFormat(spelling) as ScaledFormat;
  test(`the kernel of ${format.name} gives the scales, zero points, codes and error of its plain twin`, () => {
    for (const [name, importance] of Object.entries(importances)) {
      for (const search of ['mse', 'amax'] as const) {
        const options: EncodeOptions = { search, ...(importance === undefined ? {} : { importance }) };
        assert.deepEqual(encodeFast(format, values, rows, cols, options), format.encode(values, rows, cols, options), `${search}, importance ${name}`);
        assert.deepEqual(fitFast(format, values, rows, cols, options), format.fit(values, rows, cols, options), `${search}, importance ${name}`);
      }
    }
  });
}

test('matrices that end within a strip, and within four tiles, are like the others', () => {
  const format = parseFormat('int4/g32') as ScaledFormat;
  for (const [height, width] of [[1, 32], [3, 32], [5, 96], [700, 96]]) {
    const part = Float32Array.from({ length: height * width }, (_, i) => normal(11, width, i));
    assert.deepEqual(encodeFast(format, part, height, width, { search: 'mse' }), format.encode(part, height, width, { search: 'mse' }));
  }
});

test('the kernel leaves tiles of unequal or odd length, other searches and other roundings to the plain code', () => {
  const search = 'mse';
  assert.equal(encodeFast(parseFormat('int4/g48'), values, rows, cols, { search }), undefined);
  assert.equal(encodeFast(parseFormat('int4/g2'), values, rows, cols, { search }), undefined);
  assert.equal(encodeFast(parseFormat('int4/tensor'), values, rows, cols, { search }), undefined);
  assert.equal(encodeFast(parseFormat('mxfp4'), values, rows, cols, { search }), undefined);
  assert.equal(encodeFast(parseFormat('q4_0'), values, rows, cols, { search }), undefined);
  assert.equal(encodeFast(parseFormat('int4/g32'), values, rows, cols, { search: 'p2.4' }), undefined);
  assert.equal(encodeFast(parseFormat('int4/g32'), values, rows, cols, { search, rounding: 'rhaz' }), undefined);
});

test('the kernel refuses what the format refuses', () => {
  const format = parseFormat('int4/g32');
  assert.throws(() => encodeFast(format, Float32Array.from({ length: 32 }, (_, i) => (i === 31 ? NaN : 0)), 1, 32), { code: 'format.notFinite' });
  assert.throws(() => encodeFast(format, new Float32Array(32), 1, 64), { code: 'format.sizeMismatch' });
  assert.throws(() => encodeFast(format, new Float32Array(32), 1, 32, { importance: new Float32Array(8) }), { code: 'format.importanceLength' });
});
