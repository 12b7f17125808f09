import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatNames, isScaled, parseFormat, type EncodeOptions, type Quantized } from '../../src/formats/index.ts';
import { heavyTailed, V } from './vectors.ts';

const families = [
  ...formatNames().filter((name) => parseFormat(name).family !== 'ggml'),
  'int2/g16', 'int8/8x8', 'uint8/channel', 'uint2/g8', 'int4/g16@f16', 'uint4/g16@f16', 'int4/g16@e8m0', 'e3m2/g16', 'e4m3/4x4@e8m0', 'kmeans2/channel', 'nf4/g16', 'e2m1/b16@e4m3', 'binary/g16@f16',
];
const scaled = families.filter((name) => isScaled(parseFormat(name)));

const matrix = fc.record({
  rows: fc.integer({ min: 1, max: 5 }), cols: fc.integer({ min: 1, max: 70 }), seed: fc.integer({ min: 0, max: 2 ** 31 }),
  magnitude: fc.constantFrom(1e-30, 1e-6, 0.02, 1, 300),
});
const valuesOf = ({ rows, cols, seed, magnitude }: { rows: number; cols: number; seed: number; magnitude: number }) =>
  heavyTailed(rows * cols, seed).map((x) => Math.fround(x * magnitude));

const bytes = (array: ArrayLike<number> & { buffer: ArrayBufferLike }) => Buffer.from(array.buffer).toString('hex');
const fingerprint = (q: Quantized) => JSON.stringify([
  bytes(q.codes), bytes(q.scales), q.zeros && bytes(q.zeros), q.tensorScale, q.codebook && bytes(q.codebook), q.squaredError,
]);

const weighted = (a: Float32Array, b: Float32Array, cols: number, importance: Float32Array | undefined, power: number) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (importance?.[i % cols] ?? 1) * Math.abs(a[i] - b[i]) ** power;
  return sum;
};

test('the same input gives the same codes, scales and error, and the input is left alone', () => {
  fc.assert(fc.property(matrix, fc.constantFrom(...scaled), fc.constantFrom<EncodeOptions['search']>('amax', 'mse', 'p2.4'), (m, name, search) => {
    const values = valuesOf(m);
    const before = values.slice();
    const once = fingerprint(parseFormat(name).encode(values, m.rows, m.cols, { search }));
    assert.deepEqual(values, before);
    assert.equal(fingerprint(parseFormat(name).encode(values.slice(), m.rows, m.cols, { search })), once);
  }), { seed: 11, numRuns: 150 });
});

test('every format reports its own squared error, of finite values in the shape it was given', () => {
  fc.assert(fc.property(matrix, fc.constantFrom(...families), (m, name) => {
    const values = valuesOf(m);
    const format = parseFormat(name);
    const q = format.encode(values, m.rows, m.cols);
    const decoded = format.decode(q);
    assert.equal(q.format, name);
    assert.equal(decoded.length, values.length);
    assert.ok(decoded.every(Number.isFinite), name);
    assert.equal(q.scaleShape[0] * q.scaleShape[1], q.scales.length);
    assert.ok(Math.abs(q.squaredError - weighted(decoded, values, m.cols, undefined, 2)) <= 1e-12 * q.squaredError, name);
  }), { seed: 12, numRuns: 300 });
});

test('values that a fit can hold come back as they are', () => {
  fc.assert(fc.property(matrix, fc.constantFrom(...scaled), (m, name) => {
    const format = parseFormat(name);
    if (!isScaled(format) || name.endsWith('+dq')) return;
    const values = valuesOf(m);
    const fit = format.fit(values, m.rows, m.cols);
    const once = format.decode(format.encodeWith(values, m.rows, m.cols, fit));
    assert.deepEqual(format.decode(format.encodeWith(once, m.rows, m.cols, fit)), once, name);
  }), { seed: 13, numRuns: 300 });
});

test('a search never errs more than the extreme-value scale on what it minimises', () => {
  const importances = fc.constantFrom('none', 'ramp', 'spiky');
  fc.assert(fc.property(matrix, fc.constantFrom(...scaled), importances, fc.constantFrom<'mse' | 'p2.4'>('mse', 'p2.4'), (m, name, kind, search) => {
    if (name.startsWith('kmeans') || name.endsWith('+dq')) return;
    const values = valuesOf(m);
    const format = parseFormat(name);
    const importance = kind === 'none' ? undefined : Float32Array.from({ length: m.cols }, (_, c) => (kind === 'ramp' ? c : c % 7 === 0 ? 100 : 1));
    const power = search === 'mse' ? 2 : 2.4;
    const at = (options: EncodeOptions) => weighted(format.decode(format.encode(values, m.rows, m.cols, options)), values, m.cols, importance, power);
    assert.ok(at({ search, importance }) <= at({ search: 'amax' }) * (1 + 1e-7), `${name} ${search} ${kind}`);
  }), { seed: 14, numRuns: 300 });
});

test('searching helps where the tails are heavy', () => {
  const values = heavyTailed(64 * 128, 5);
  for (const name of ['int4/g128', 'int3/g64', 'uint3/g64', 'uint2/g32', 'e2m1/channel', 'ternary/g128', 'nvfp4', 'mxfp4', 'nf4/b64']) {
    const format = parseFormat(name);
    const plain = format.encode(values, 64, 128).squaredError;
    assert.ok(format.encode(values, 64, 128, { search: 'mse' }).squaredError < 0.98 * plain, name);
  }
});

test('choosing between 4 and 6 never errs more than NVFP4, and the other exponent rules obey their definitions', () => {
  fc.assert(fc.property(matrix, (m) => {
    const values = valuesOf(m);
    const error = (name: string, options?: EncodeOptions) => parseFormat(name).encode(values, m.rows, m.cols, options).squaredError;
    assert.ok(error('nvfp4-4over6') <= error('nvfp4') * (1 + 1e-12));
    for (const name of ['mxfp4', 'mxfp6_e2m3', 'mxint8']) assert.ok(error(name, { scaleRule: 'search' }) <= error(name) * (1 + 1e-12));
    const ceil = parseFormat('mxfp4').encode(values, m.rows, m.cols, { scaleRule: 'ceil' });
    values.forEach((x, i) => {
      const scale = ceil.scales[Math.floor(i / m.cols) * ceil.scaleShape[1] + Math.floor((i % m.cols) / 32)];
      assert.ok(Math.abs(x) <= 6 * scale);
    });
  }), { seed: 15, numRuns: 100 });
  const even = (amax: number) => parseFormat('mxfp4').encode(Float32Array.of(amax), 1, 1, { scaleRule: 'even' }).scales[0];
  assert.deepEqual([even(6.9), even(7), even(4), even(3.5)], [1, 2, 1, 1]);
  const floor = parseFormat('mxfp4').encode(Float32Array.of(7.99), 1, 1);
  assert.deepEqual([floor.scales[0], floor.codes[0]], [1, 7]);
});

test('an exponent rule where scales are not powers of two is refused', () => {
  assert.throws(() => parseFormat('int4/g32').encode(V(32), 1, 32, { scaleRule: 'ceil' }), /scale rule ceil does not apply to int4\/g32 \(rules there: none\)/);
  assert.throws(() => parseFormat('mxfp4').encode(V(32), 1, 32, { scaleRule: 'fourOverSix' }), { code: 'format.scaleRule' });
});

test('NaN and infinity are refused with the tensor name and the index', () => {
  for (const name of families) {
    for (const bad of [NaN, Infinity, -Infinity]) {
      const values = V(64);
      values[37] = bad;
      assert.throws(() => parseFormat(name).encode(values, 2, 32, { name: 'layer.3.weight' }), (error: Error) =>
        error.message === `tensor layer.3.weight: value at index 37 is ${bad}, which no code stands for`, name);
    }
  }
});

test('what overflows half precision is refused, not made infinite', () => {
  assert.throws(() => parseFormat('f16').encode(Float32Array.of(1, 65520), 1, 2, { name: 'w' }), /tensor w: value 65520 at index 1 overflows f16/);
  assert.deepEqual([...parseFormat('f16').decode(parseFormat('f16').encode(Float32Array.of(65519, -2), 1, 2))], [65504, -2]);
  assert.throws(() => parseFormat('bf16').encode(Float32Array.of(3.4e38), 1, 1), { code: 'format.overflow' });
});

test('wrong sizes and importances are refused', () => {
  const format = parseFormat('int4/g32');
  assert.throws(() => format.encode(V(10), 2, 6, { name: 'w' }), /tensor w: 10 values do not fill \[2, 6\]/);
  assert.throws(() => format.encode(V(12), 2, 6, { importance: V(5) }), { code: 'format.importanceLength' });
  assert.throws(() => format.encode(V(12), 2, 6, { importance: Float32Array.of(1, 1, NaN, 1, 1, 1) }), { code: 'format.importanceValue' });
});

test('zero restores to zero in every format, with scale 1 or 0', () => {
  for (const name of families) {
    const format = parseFormat(name);
    for (const search of ['amax', 'mse', 'p2.4'] as const) {
      const q = format.encode(new Float32Array(96), 3, 32, { search });
      assert.ok(format.decode(q).every((x) => x === 0), `${name} ${search}`);
      assert.equal(q.squaredError, 0);
    }
  }
});

test('the smallest and largest float32 values survive their scales', () => {
  for (const name of families) {
    if (['f16', 'bf16'].includes(name)) continue;
    const format = parseFormat(name);
    const tiny = format.encode(Float32Array.of(1e-45, -1e-45, 0, 3e-45), 1, 4);
    assert.ok(format.decode(tiny).every(Number.isFinite), name);
    const large = format.encode(Float32Array.of(3.4e38, -3.4e38, 1e38, 0), 1, 4);
    assert.ok(Number.isFinite(large.scales[0] ?? 0), name);
  }
});

test('binary takes the mean magnitude and counts zero as positive; ternary takes the mean or the extreme', () => {
  const values = Float32Array.of(0.5, -1.5, 0, 2);
  const binary = parseFormat('binary/tensor').encode(values, 1, 4);
  assert.equal(binary.scales[0], 1);
  assert.deepEqual([...binary.codes], [1, -1, 1, 1]);
  const ternary = parseFormat('ternary/tensor').encode(values, 1, 4);
  assert.equal(ternary.scales[0], 1);
  assert.deepEqual([...ternary.codes], [0, -1, 0, 1]);
  const extreme = parseFormat('ternary-amax/tensor').encode(values, 1, 4);
  assert.equal(extreme.scales[0], 2);
  assert.deepEqual([...extreme.codes], [0, -1, 0, 1]);
});

test('ties round to even or away from zero as asked', () => {
  const values = Float32Array.of(7, 0.5, 1.5, 2.5, -0.5, -2.5);
  assert.deepEqual([...parseFormat('int4/tensor').encode(values, 1, 6).codes], [7, 0, 2, 2, 0, -2]);
  assert.deepEqual([...parseFormat('int4/tensor').encode(values, 1, 6, { rounding: 'rhaz' }).codes], [7, 1, 2, 3, -1, -3]);
  assert.deepEqual([...parseFormat('mxfp4').encode(Float32Array.of(6, 0.25, 0.75, 2.5, -5), 1, 5, { rounding: 'rhaz' }).codes], [7, 1, 2, 5, 15]);
});

test('the element rounder agrees with the matrix encoder', () => {
  fc.assert(fc.property(matrix, fc.constantFrom(...scaled), (m, name) => {
    const format = parseFormat(name);
    if (!isScaled(format)) return;
    const values = valuesOf(m);
    const fit = format.fit(values, m.rows, m.cols);
    const q = format.encodeWith(values, m.rows, m.cols, fit);
    const decoded = format.decode(q);
    const rounder = format.rounder(fit, m.rows, m.cols);
    for (let r = 0, i = 0; r < m.rows; r++) for (let c = 0; c < m.cols; c++, i++) {
      assert.equal(rounder.code(values[i], r, c), q.codes[i], name);
      assert.equal(rounder.value(q.codes[i], r, c) + 0, decoded[i] + 0, name);
    }
  }), { seed: 16, numRuns: 150 });
});

test('half-quadratic zero points between integers shift before the rounding', () => {
  const format = parseFormat('uint4/tensor');
  assert.ok(isScaled(format));
  const fit = { scales: Float32Array.of(0.5), zeros: Float32Array.of(3.25), scaleShape: [1, 1] as const };
  const q = format.encodeWith(Float32Array.of(0, 1, -2), 1, 3, fit);
  assert.deepEqual([...q.codes], [3, 5, 0]);
  assert.deepEqual([...format.decode(q)], [-0.125, 0.875, -1.625]);
});
