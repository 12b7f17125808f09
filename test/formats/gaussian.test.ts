import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFormat } from '../../src/formats/index.ts';
import { gaussianPoints, nearestPoint } from '../../src/formats/gaussian-vectors.ts';
import { lloydMaxLevels } from '../../src/formats/lloyd-max.ts';
import { packWide, unpackWide } from '../../src/formats/packing/wide.ts';
import { rotated, rotatedBack } from '../../src/formats/rotated.ts';
import { normalCdf } from '../../src/numeric/normal-distribution.ts';
import { normal } from '../../src/numeric/random.ts';
import { encodeMatrix } from '../../src/round/encode-matrix.ts';

const gaussian = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => normal(seed, 0, i));
const relativeError = (name: string, values: Float32Array, rows: number, cols: number): number =>
  encodeMatrix(parseFormat(name), values, rows, cols).squaredError / values.reduce((sum, x) => sum + x * x, 0);

test('the distribution function of the normal has its tabled values', () => {
  for (const [x, p] of [[0, 0.5], [1, 0.8413447460685429], [-1.96, 0.024997895148220435], [3, 0.9986501019683699], [-6, 9.865876450376946e-10]]) {
    assert.ok(Math.abs(normalCdf(x) - p) < 1e-15, `${x}`);
  }
});

test('levels of Lloyd and Max at 2 and 3 bits are the published ones', () => {
  const published = { 2: [0.45278, 1.51042], 3: [0.24509, 0.75601, 1.34391, 2.15195] } as const;
  for (const bits of [2, 3] as const) {
    const levels = lloydMaxLevels(bits);
    published[bits].forEach((level, i) => {
      assert.ok(Math.abs(levels[2 ** (bits - 1) + i] - level) < 5e-6);
      assert.equal(levels[2 ** (bits - 1) - 1 - i], -levels[2 ** (bits - 1) + i]);
    });
  }
});

test('scalar and vector codes err on normal values what Q-Palette states, within 2 %', () => {
  const [rows, cols] = [4, 65536];
  const values = gaussian(rows * cols, 7);
  const stated: [string, number][] = [
    ['lloydmax2/channel', 0.11748], ['lloydmax3/channel', 0.03451], ['lloydmax4/channel', 0.0095], ['lloydmax5/channel', 0.00251],
    ['vq1.5', 0.20124], ['vq2', 0.10859], ['vq3', 0.02972], ['vq4', 0.00776],
  ];
  for (const [name, error] of stated) {
    const found = relativeError(name, values, rows, cols);
    assert.ok(Math.abs(found / error - 1) < 0.02, `${name}: ${found}`);
  }
});

test('the nearest of the points is what looking at all of them finds', () => {
  const points = gaussianPoints(64);
  const xs = gaussian(400, 3);
  for (let i = 0; i < xs.length; i += 2) {
    const distance = (k: number) => (points.x[k] - xs[i]) ** 2 + (points.y[k] - xs[i + 1]) ** 2;
    const all = Array.from({ length: 64 }, (_, k) => distance(k));
    assert.equal(distance(nearestPoint(points, xs[i], xs[i + 1])), Math.min(...all));
  }
});

test('codes of any width come back from their bytes, the first in the lowest bits', () => {
  const bytes = new Uint8Array(4);
  packWide([0x3ff, 0, 0x155], 10, bytes, 0);
  assert.deepEqual([...bytes], [0xff, 0x03, 0x50, 0x15]);
  for (let bits = 1; bits <= 16; bits++) {
    const codes = Uint16Array.from({ length: 37 }, (_, i) => (i * 40503) & (2 ** bits - 1));
    const out = new Uint8Array(3 + Math.ceil((37 * bits) / 8));
    packWide(codes, bits, out, 3);
    assert.deepEqual(unpackWide(out, bits, 3, 37), codes);
  }
});

test('a rotation turns back, and spreads an outlier over its row and column', () => {
  const [rows, cols] = [12, 64];
  const values = gaussian(rows * cols, 1);
  values[70] = 100;
  const turned = rotated(values, rows, cols);
  assert.ok(Math.max(...turned.map(Math.abs)) < 15);
  rotatedBack(turned, rows, cols).forEach((x, i) => assert.ok(Math.abs(x - values[i]) < 1e-5));
  const outlier = (name: string) => relativeError(name, values, rows, cols);
  assert.ok(outlier('lloydmax3/channel+had') < 0.1 * outlier('lloydmax3/channel'));
});

test('bits per weight count codes in whole tiles and 16 bits of scale per row', () => {
  const rows: [string, number, number, number][] = [
    ['vq2.5', 16, 256, 2.5 + 16 / 256], ['lloydmax3/channel', 8, 256, 3 + 16 / 256], ['tcq3', 32, 256, 3 + 16 / 256], ['tcq3.25+had', 32, 256, 3.25 + 16 / 256],
    ['tcq4.25', 32, 256, 4.25 + 16 / 256], ['tcq2', 8, 16, (2 * 256 + 8 * 16) / 128],
  ];
  for (const [name, r, c, bits] of rows) assert.equal(parseFormat(name).bitsPerWeight(r, c), bits, name);
});

test('spellings of widths that do not exist are refused with the reason', () => {
  assert.throws(() => parseFormat('tcq3.1'), /tcq3\.1: widths are 1 to 5 bits in steps of a quarter/);
  assert.throws(() => parseFormat('tcq5@hyb/l10'), /unknown format/);
  assert.throws(() => parseFormat('tcq5/l10@hyb'), /10 new bits a step leave no memory in 10/);
  assert.throws(() => parseFormat('tcq3/l20'), /states have 8 to 16 bits/);
  assert.throws(() => parseFormat('tcq3@hash'), /unknown scale type in tcq3@hash: hash \(known: 1mad, 3inst, hyb\)/);
  assert.throws(() => parseFormat('vq9'), { code: 'format.unknown' });
  assert.deepEqual(['TCQ3 / L12', 'tcq4@1mad', 'tcq3.0', 'vq3.0', 'VQ 2.5', 'lloyd-max3', 'tcq2@HYB+HAD'].map((s) => parseFormat(s).name), ['tcq3', 'tcq4', 'tcq3', 'vq3', 'vq2.5', 'lloydmax3/channel', 'tcq2+had']);
});
