import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hadamardMatrix, hadamardOrder, hadamardTransform } from '../../src/numeric/hadamard.ts';
import { matmul } from '../../src/numeric/matrix.ts';

test('the matrix of order 4 is the one of Sylvester, scaled to length one', () => {
  assert.deepEqual([...hadamardMatrix(4)].map((entry) => 2 * entry), [1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1]);
});

test('the matrix is its own inverse, and the transform multiplies every run by it', () => {
  for (const order of [1, 2, 8, 128]) {
    const matrix = hadamardMatrix(order);
    const identity = matmul(matrix, matrix, order, order, order);
    identity.forEach((entry, i) => assert.ok(Math.abs(entry - (i % (order + 1) === 0 ? 1 : 0)) < 1e-6));
    const values = Float32Array.from({ length: 3 * order }, (_, i) => Math.sin(i * i));
    const product = matmul(values, matrix, 3, order, order);
    hadamardTransform(values, order).forEach((value, i) => assert.ok(Math.abs(value - product[i]) < 1e-6));
  }
});

test('the order is the largest power of two that divides the width, up to 128', () => {
  assert.deepEqual([128, 384, 256, 64, 172, 96, 15].map((width) => hadamardOrder(width)), [128, 128, 128, 64, 4, 32, 1]);
});

test('orders that are no power of two, and rests, are refused', () => {
  assert.throws(() => hadamardMatrix(12), /order 12: powers of two only/);
  assert.throws(() => hadamardTransform([1, 2, 3], 2), /3 values do not divide into runs of 2/);
});
