import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFormat } from '../../src/formats/registry.ts';
import { matmul } from '../../src/numeric/matrix.ts';
import { normal } from '../../src/numeric/random.ts';
import { encodeMatrix } from '../../src/round/encode-matrix.ts';
import { decompose, fisherRoots } from '../../src/round/lq-decompose.ts';

const rowScaled = parseFormat('nf2/b4');
const toy = { values: Float32Array.of(0.9, -0.4, 0.2, 0.1, -1.2, 0.5, -0.3, 0.05, 0.6, -0.25, 0.1, -0.7, 0.3, -0.1, 0, 0.4), rows: 4, cols: 4, name: 'toy' };

test('the toy of the card alternates to the errors worked out there', () => {
  const plain = Math.sqrt(encodeMatrix(rowScaled, toy.values, 4, 4).squaredError);
  assert.ok(Math.abs(plain - 0.6203) < 5e-7, `${plain}`);
  const { errors, residual, quantized, left, right } = decompose(toy, rowScaled, 1, { exact: true });
  [0.122489, 0.084504, 0.084497].forEach((error, i) => assert.ok(Math.abs(errors[i] - error) < 1e-6, `${errors}`));
  assert.ok(errors.every((error, i) => i === errors.length - 1 || i === 0 || error < errors[i - 1]));
  const product = matmul(left, right, 4, 1, 4);
  residual.forEach((x, i) => assert.ok(Math.abs(x + product[i] - toy.values[i]) < 1e-7));
  assert.ok(Math.abs(Math.sqrt(quantized.squaredError) - Math.min(...errors)) < 1e-9);
});

test('roots of the Fisher means are those of the card', () => {
  const { rows, cols } = fisherRoots([4, 1, 1, 0.25], 2, 2);
  for (const roots of [rows, cols]) [1.58113883, 0.79056942].forEach((x, i) => assert.ok(Math.abs(roots[i] - x) < 1e-8));
  assert.ok(fisherRoots([1, 0, 1, 0], 2, 2).cols.every((x) => x > 0));
});

const [rows, cols] = [64, 96];
const matrix = { values: Float32Array.from({ length: rows * cols }, (_, i) => normal(1, 0, i) + 2 * normal(1, 1, Math.floor(i / cols)) * normal(1, 2, i % cols)), rows, cols };

test('alternating beats one split, one split beats none, and the best pair is kept', () => {
  const format = parseFormat('nf3/b32+nested8x16');
  const none = Math.sqrt(encodeMatrix(format, matrix.values, rows, cols).squaredError);
  const { errors, quantized } = decompose(matrix, format, 4);
  assert.ok(errors[0] < none);
  assert.ok(Math.min(...errors) < errors[0]);
  assert.ok(Math.abs(Math.sqrt(quantized.squaredError) - Math.min(...errors)) < 1e-6);
});

test('Fisher weights lower the weighted error', () => {
  const format = parseFormat('nf2/b32+nested8x16');
  const fisher = Float32Array.from({ length: rows * cols }, (_, i) => normal(2, 0, Math.floor(i / cols)) ** 2 * normal(2, 1, i % cols) ** 2);
  const weighted = (found: ReturnType<typeof decompose>) => {
    const decoded = format.decode(found.quantized);
    return found.residual.reduce((sum, x, i) => sum + fisher[i] * (x - decoded[i]) ** 2, 0);
  };
  assert.ok(weighted(decompose(matrix, format, 4, { fisher })) < 0.95 * weighted(decompose(matrix, format, 4)));
});
