import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cholesky, choleskySolve, invertLower, unitUpperFactor } from '../../src/numeric/cholesky.ts';
import { gram, matmul, quadraticForm } from '../../src/numeric/matrix.ts';

/** Small integers from a fixed congruence, so that the tests have one input everywhere. */
const sample = (rows: number, cols: number) =>
  Float64Array.from({ length: rows * cols }, (_, i) => ((31 * i * i + 17 * i + 11) % 257) / 128 - 1);

const definite = (n: number) => {
  const a = gram(sample(n + 5, n), n + 5, n);
  for (let i = 0; i < n; i++) a[i * n + i] += 0.5;
  return a;
};

test('factors the textbook matrix with whole-number factor', () => {
  const a = Float64Array.of(4, 12, -16, 12, 37, -43, -16, -43, 98);
  assert.deepEqual([...cholesky(a, 3)], [2, 0, 0, 6, 1, 0, -8, 5, 3]);
});

test('blocked factor has the bits of the three-loop definition', () => {
  const n = 151;
  const a = definite(n);
  const plain = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let s = a[i * n + j];
      for (let k = 0; k < j; k++) s -= plain[i * n + k] * plain[j * n + k];
      plain[i * n + j] = i === j ? Math.sqrt(s) : s / plain[j * n + j];
    }
  }
  assert.deepEqual(cholesky(a, n), plain);
});

test('inverse of a factor times the factor is the identity', () => {
  const n = 40;
  const l = cholesky(definite(n), n);
  const product = matmul(invertLower(l, n), l, n, n, n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    assert.ok(Math.abs(product[i * n + j] - (i === j ? 1 : 0)) < 1e-10);
  }
});

test('solves a linear system to rounding', () => {
  const n = 30;
  const a = definite(n);
  const x = sample(n, 1);
  const solved = choleskySolve(cholesky(a, n), n, matmul(a, x, n, n, 1));
  for (let i = 0; i < n; i++) assert.ok(Math.abs(solved[i] - x[i]) < 1e-9);
});

test('unit upper factor multiplies back to the matrix', () => {
  const n = 23;
  const a = definite(n);
  const { upper, diagonal } = unitUpperFactor(a, n);
  for (let i = 0; i < n; i++) {
    assert.equal(upper[i * n + i], 1);
    for (let j = 0; j < n; j++) {
      let s = 0;
      for (let k = Math.max(i, j); k < n; k++) s += upper[i * n + k] * diagonal[k] * upper[j * n + k];
      assert.ok(Math.abs(s - a[i * n + j]) < 1e-9);
    }
  }
});

test('a matrix that is not positive definite names its pivot', () => {
  assert.throws(() => cholesky(Float64Array.of(1, 2, 2, 1), 2), { code: 'cholesky.notPositive', message: /pivot 1 is -3/ });
  assert.throws(() => cholesky(Float64Array.of(NaN), 1), { code: 'cholesky.notPositive' });
});

test('quadratic form is the squared norm of X times the error', () => {
  const x = Float64Array.of(1, 2, 3, 4, 5, 6); // [3, 2]
  const e = [1, -1];
  // X·eᵀ = (−1, −1, −1)
  assert.equal(quadraticForm(e, gram(x, 3, 2), 1, 2), 3);
});
