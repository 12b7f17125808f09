import { test } from 'node:test';
import assert from 'node:assert/strict';
import { dynamicMap, kmeansLevels, parseFormat, power24 } from '../../src/formats/index.ts';
import { heavyTailed, V } from './vectors.ts';

test('k-means finds clusters that are there, exactly', () => {
  const values = Float32Array.of(-1, -1.5, -0.5, 3, 3.25, 2.75, 10, 0.125, 0.125);
  assert.deepEqual([...kmeansLevels(values, 4)], [-1, 0.125, 3, 10]);
});

test('k-means keeps every distinct value when there are no more than levels', () => {
  const values = Float32Array.of(5, -2, 5, 0.5, -2, 7);
  const q = parseFormat('kmeans2/tensor').encode(values, 2, 3);
  assert.equal(q.squaredError, 0);
  assert.deepEqual([...q.codebook!], [-2, 0.5, 5, 7]);
  const few = parseFormat('kmeans4/tensor').encode(Float32Array.of(1, 2, 1), 1, 3);
  assert.equal(few.squaredError, 0);
});

test('k-means never errs more than integers with the same number of levels', () => {
  const values = heavyTailed(8 * 512, 9);
  for (const bits of [2, 3, 4]) {
    const kmeans = parseFormat(`kmeans${bits}/channel`).encode(values, 8, 512).squaredError;
    for (const search of ['amax', 'mse'] as const) assert.ok(kmeans < parseFormat(`int${bits}/channel`).encode(values, 8, 512, { search }).squaredError);
  }
});

test('k-means at a fixed point: every level is the mean of its values, every value goes to its nearest level', () => {
  const values = V(200);
  const q = parseFormat('kmeans3/tensor').encode(values, 10, 20);
  const sums = new Float64Array(8);
  const counts = new Float64Array(8);
  values.forEach((x, i) => {
    sums[q.codes[i]] += x;
    counts[q.codes[i]]++;
    const chosen = Math.abs(x - q.codebook![q.codes[i]]);
    for (const level of q.codebook!) assert.ok(chosen <= Math.abs(x - level) + 1e-7);
  });
  counts.forEach((count, k) => assert.ok(Math.abs(sums[k] / count - q.codebook![k]) < 1e-5));
});

test('importance moves levels towards the columns that matter', () => {
  const values = heavyTailed(64 * 32, 3);
  const importance = Float32Array.from({ length: 32 }, (_, c) => (c < 4 ? 100 : 1));
  const errorOf = (options: object) => {
    const q = parseFormat('kmeans3/tensor').encode(values, 64, 32, options);
    const decoded = parseFormat('kmeans3/tensor').decode(q);
    return values.reduce((sum, x, i) => sum + importance[i % 32] * (x - decoded[i]) ** 2, 0);
  };
  assert.ok(errorOf({ importance }) < errorOf({}));
});

test('NF4 blocks run over the flattened tensor across rows, groups stay within them', () => {
  const values = V(96);
  assert.deepEqual(parseFormat('nf4/b64').encode(values, 2, 48).scaleShape, [1, 2]);
  assert.deepEqual(parseFormat('nf4/g64').encode(values, 2, 48).scaleShape, [2, 1]);
});

test('a value half-way between two NF4 levels takes the lower index', () => {
  const q = parseFormat('nf4/b64').encode(Float32Array.of(1, 0.03979014977812767, 0), 1, 3);
  assert.equal(q.codes[1], 7);
});

test('the dynamic map has 256 ascending entries from −0.99296875 to 1', () => {
  const map = dynamicMap();
  assert.equal(map.length, 256);
  for (let i = 1; i < 256; i++) assert.ok(map[i] > map[i - 1]);
  assert.equal(map[0], Math.fround(-0.99296875));
  assert.equal(map[127], 0);
  assert.equal(map[255], 1);
  assert.ok(Math.abs(map[128] - 5.5e-7) < 1e-12);
});

test('double quantization keeps the codes and moves block scales by less than 2 percent of their range', () => {
  const values = heavyTailed(64 * 600, 4);
  const plain = parseFormat('nf4/b64').encode(values, 600, 64);
  const nested = parseFormat('nf4/b64+dq').encode(values, 600, 64);
  assert.deepEqual(nested.codes, plain.codes);
  const { codes, map, scales, block, offset } = nested.doubleQuantized!;
  assert.equal(scales.length, Math.ceil(600 / block));
  plain.scales.forEach((scale, i) => {
    const decoded = Math.fround(map[codes[i]] * scales[Math.floor(i / block)]) + offset;
    assert.equal(nested.scales[i], Math.fround(decoded));
    assert.ok(Math.abs(decoded - scale) <= 0.02 * scales[Math.floor(i / block)]);
  });
  assert.ok(nested.squaredError < 1.1 * plain.squaredError);
});

test('|d|^2.4 agrees with the platform', () => {
  for (const d of [1e-15, 3e-4, 0.5, 1, 1.7, 123, 1e6]) {
    const expected = Math.abs(d) ** 2.4;
    assert.ok(Math.abs(power24(-d) - expected) <= 1e-8 * expected, `${d}`);
  }
  assert.equal(power24(0), 0);
});
