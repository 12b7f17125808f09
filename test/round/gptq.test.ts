import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainFeedback } from '../../src/engine/kernels/gemm.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { gram } from '../../src/numeric/matrix.ts';
import { gptq, outputError } from '../../src/round/gptq.ts';
import { nearest } from '../../src/round/nearest.ts';

const wave = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 12.9898 + i * i * 0.37));

/** Inputs whose neighbouring columns are correlated and of unequal size. */
function correlated(samples: number, cols: number): Float64Array {
  const noise = wave(samples * cols, 5);
  const x = new Float64Array(samples * cols);
  for (let s = 0; s < samples; s++) for (let j = 0; j < cols; j++) {
    x[s * cols + j] = (noise[s * cols + j] * (1 + (j % 7))) + (j > 0 ? 0.8 * x[s * cols + j - 1] : 0);
  }
  return gram(x, samples, cols);
}

const rows = 70, cols = 128;
const weight = { values: wave(rows * cols, 1), rows, cols, name: 'w' };
const hessian = correlated(400, cols);

for (const spelling of ['int4/g32', 'int3/g32', 'int2/g32', 'uint4/g32', 'uint2/g64', 'int4/channel', 'nf4/b64', 'mxfp4', 'nvfp4', 'e2m1/g32']) {
  for (const order of ['activation', 'natural'] as const) {
    test(`GPTQ of ${spelling} in ${order} order has less output error than nearest, and the same codes twice`, () => {
      const format = parseFormat(spelling);
      const rounded = gptq(weight, format, { hessian }, { order });
      const plain = nearest(weight, format);
      const [ours, theirs] = [rounded, plain].map((q) => outputError(weight, format.decode(q), { hessian }));
      assert.ok(ours < 0.8 * theirs, `${ours} against ${theirs}`);
      assert.deepEqual(gptq(weight, format, { hessian }, { order }), rounded);
    });
  }
}

test('GPTQ gives the same bits from the plain twin', () => {
  const format = parseFormat('int3/g32');
  for (const order of ['activation', 'natural'] as const) {
    assert.deepEqual(gptq(weight, format, { hessian }, { order, kernel: plainFeedback }), gptq(weight, format, { hessian }, { order }));
  }
});

test('rows are rounded alike whatever rows stand beside them', () => {
  const format = parseFormat('int3/g32');
  const whole = gptq(weight, format, { hessian });
  const part = gptq({ values: weight.values.slice(3 * cols, 10 * cols), rows: 7, cols }, format, { hessian });
  assert.deepEqual(part.codes, whole.codes.slice(3 * cols, 10 * cols));
});

test('with uncorrelated inputs GPTQ is nearest', () => {
  const identity = new Float64Array(cols * cols);
  for (let i = 0; i < cols; i++) identity[i * cols + i] = 1 + (i % 3);
  const format = parseFormat('int4/g32');
  assert.deepEqual(gptq(weight, format, { hessian: identity }).codes, nearest(weight, format).codes);
});

test('two columns follow the update worked by hand', () => {
  // H = [[2, 1], [1, 1]]: the second pivot is 1, U01 = 1. Scale 1: w = (0.4, 0.3, and 7 to fix the scale).
  // Column 0 rounds to 0 with error 0.4; column 1 becomes 0.3 + 0.4·1 = 0.7 and rounds to 1 instead of 0.
  const h = Float64Array.of(2, 1, 0, 1, 1, 0, 0, 0, 1);
  const w = { values: Float32Array.of(0.4, 0.3, 7), rows: 1, cols: 3 };
  assert.deepEqual([...gptq(w, parseFormat('int4/channel'), { hessian: h }, { damping: 0 }).codes], [0, 1, 7]);
});

test('GPTQ agrees with the textbook update through the inverse of H', () => {
  const format = parseFormat('int4/channel');
  const small = 12;
  const h = correlated(60, small);
  const values = wave(5 * small, 9);
  const rounded = gptq({ values, rows: 5, cols: small }, format, { hessian: h }, { order: 'natural', damping: 0 });
  for (let r = 0; r < 5; r++) {
    const w = Float64Array.from(values.slice(r * small, (r + 1) * small));
    const scale = Math.fround(Math.max(...w.map(Math.abs)) / 7);
    for (let k = 0; k < small; k++) {
      const inverse = invert(h, small, k);
      const q = Math.max(-7, Math.min(7, Math.round(w[k] / scale))) + 0;
      assert.equal(rounded.codes[r * small + k], q);
      const step = (w[k] - q * scale) / inverse[0];
      for (let j = k; j < small; j++) w[j] -= step * inverse[j - k];
    }
  }
});

/** Inverse of the trailing block of h from `from`, row-major, by Gauss–Jordan elimination. */
function invert(h: Float64Array, n: number, from: number): number[] {
  const size = n - from;
  const a = Array.from({ length: size }, (_, i) => Array.from({ length: 2 * size }, (_, j) => (j < size ? h[(i + from) * n + j + from] : i === j - size ? 1 : 0)));
  for (let p = 0; p < size; p++) {
    const pivot = a[p][p];
    a[p] = a[p].map((v) => v / pivot);
    for (let i = 0; i < size; i++) if (i !== p) { const f = a[i][p]; a[i] = a[i].map((v, j) => v - f * a[p][j]); }
  }
  return a.flatMap((row) => row.slice(size));
}

test('GPTQ without second moments says what is missing', () => {
  assert.throws(() => gptq(weight, parseFormat('int4/g32')), { code: 'round.needs', message: 'gptq: tensor w has no second moments of its inputs' });
});
