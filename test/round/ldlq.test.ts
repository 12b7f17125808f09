import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFormat } from '../../src/formats/registry.ts';
import { plainFeedback } from '../../src/engine/kernels/gemm.ts';
import { gram, quadraticForm } from '../../src/numeric/matrix.ts';
import { normal } from '../../src/numeric/random.ts';
import { encodeMatrix } from '../../src/round/encode-matrix.ts';
import { ldlq } from '../../src/round/ldlq.ts';

const [rows, cols] = [32, 72];
const weight = { values: Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i)), rows, cols, name: 'w' };
/** Inputs that move together, as those of networks do. */
const inputs = Float64Array.from({ length: 200 * cols }, (_, i) => normal(2, 0, i) + 2 * normal(3, 0, Math.floor(i / cols)) + normal(4, Math.floor(i / cols), (i % cols) >> 3));
const hessian = gram(inputs, 200, cols);

const outputError = (decoded: Float32Array) => quadraticForm(decoded.map((x, i) => x - weight.values[i]), hessian, rows, cols);

test('feedback from block to block lowers the output error of trellis, vector and rotated formats', () => {
  for (const name of ['tcq2', 'tcq3+had', 'vq2.5', 'lloydmax3/channel+had']) {
    const format = parseFormat(name);
    const rounded = ldlq(weight, format, { hessian });
    assert.equal(rounded.format, name);
    const plain = outputError(format.decode(encodeMatrix(format, weight.values, rows, cols)));
    const found = outputError(format.decode(rounded));
    assert.ok(found < 0.75 * plain, `${name}: ${found / plain}`);
  }
});

test('without correlations there is nothing to feed back', () => {
  const identity = Float64Array.from({ length: cols * cols }, (_, i) => Number(i % (cols + 1) === 0));
  const format = parseFormat('vq2');
  assert.deepEqual(ldlq(weight, format, { hessian: identity }).codes, encodeMatrix(format, weight.values, rows, cols).codes);
});

test('the plain kernel gives the same codes', () => {
  const format = parseFormat('vq2');
  assert.deepEqual(ldlq(weight, format, { hessian }, { kernel: plainFeedback }).codes, ldlq(weight, format, { hessian }).codes);
});

test('formats without blocks are refused by name', () => {
  assert.throws(() => ldlq(weight, parseFormat('q4_0'), { hessian }), /ldlq does not round to q4_0/);
  assert.throws(() => ldlq(weight, parseFormat('tcq2')), /tensor w has no second moments of its inputs/);
});
