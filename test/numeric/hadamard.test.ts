import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hadamardFactors, hadamardMatrix, hadamardOrder, hadamardTransform, largestHadamardOrder } from '../../src/numeric/hadamard.ts';
import { matmul } from '../../src/numeric/matrix.ts';

test('the matrix of order 4 is the one of Sylvester, scaled to length one', () => {
  assert.deepEqual([...hadamardMatrix(4)].map((entry) => 2 * entry), [1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1]);
});

test('the matrix is its own inverse, and the transform multiplies every run by it', () => {
  for (const order of [1, 2, 8, 128, 12, 20, 24, 28, 36, 76, 168, 240]) {
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

test('Paley matrices of 12 and 28 have a first row of ones, and balanced rows after it', () => {
  for (const order of [12, 20, 28]) {
    const matrix = hadamardMatrix(order).map((entry) => Math.round(entry * Math.sqrt(order)));
    assert.ok(matrix.every((entry) => Math.abs(entry) === 1));
    for (let i = 0; i < order; i++) for (let j = 0; j < order; j++) assert.equal(matrix[i * order + j], matrix[j * order + i]);
  }
});

test('orders are products of powers of two and Paley orders; widths without one split over the largest divisor that has', () => {
  assert.deepEqual([192, 640, 896, 1152, 240].map(hadamardFactors), [[16, 12], [32, 20], [32, 28], [8, 12, 12], [20, 12]]);
  assert.deepEqual([192, 768, 30, 11008, 92, 3072].map(largestHadamardOrder), [192, 768, 2, 256, 4, 3072]);
});

test('orders without a construction, and rests, are refused', () => {
  assert.throws(() => hadamardMatrix(92), /no Hadamard matrix of order 92/);
  assert.throws(() => hadamardTransform([1, 2, 3], 2), /3 values do not divide into runs of 2/);
});
