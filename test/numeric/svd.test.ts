import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matmul } from '../../src/numeric/matrix.ts';
import { qr } from '../../src/numeric/qr.ts';
import { normal } from '../../src/numeric/random.ts';
import { svd, svdProduct, truncatedSvd } from '../../src/numeric/svd.ts';

const gaussian = (count: number, seed: number) => Float64Array.from({ length: count }, (_, i) => normal(seed, 0, i));
const close = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number) => {
  assert.equal(a.length, b.length);
  for (let i = 0; i < a.length; i++) assert.ok(Math.abs(a[i] - b[i]) <= tolerance, `${i}: ${a[i]} against ${b[i]}`);
};
const orthonormal = (x: Float64Array, rows: number, cols: number) => {
  for (let p = 0; p < cols; p++) for (let q = 0; q <= p; q++) {
    let s = 0;
    for (let i = 0; i < rows; i++) s += x[i * cols + p] * x[i * cols + q];
    assert.ok(Math.abs(s - Number(p === q)) < 1e-12);
  }
};

test('singular values of a matrix known by hand', () => {
  // [[3, 0], [4, 5]]: AᵀA has the eigenvalues 45 and 5.
  close(svd([3, 0, 4, 5], 2, 2).s, [Math.sqrt(45), Math.sqrt(5)], 1e-14);
  close(svd([1, 2, 3, 2, 4, 6], 2, 3).s, [Math.sqrt(70), 0], 1e-14);
  close(svd(new Float64Array(6), 3, 2).s, [0, 0], 0);
});

test('singular values of the Hilbert matrix of order 6 keep their digits down to 1e-7', () => {
  const h = Float64Array.from({ length: 36 }, (_, i) => 1 / (Math.floor(i / 6) + (i % 6) + 1));
  const expected = [1.61889985892434, 0.242360870575209, 0.0163215213198758, 0.000615748354182691, 0.0000125707571226224, 1.08279948448139e-7];
  svd(h, 6, 6).s.forEach((s, i) => assert.ok(Math.abs(s / expected[i] - 1) < 1e-9, `${s}`));
});

test('factors multiply back, tall and wide, with orthonormal vectors', () => {
  for (const [rows, cols] of [[40, 24], [24, 40], [33, 33]]) {
    const a = gaussian(rows * cols, rows);
    const found = svd(a, rows, cols);
    close(svdProduct(found, rows, cols), a, 1e-12);
    orthonormal(found.u, rows, found.rank);
    orthonormal(found.v, cols, found.rank);
    assert.ok(found.s.every((s, i) => i === 0 || s <= found.s[i - 1]));
  }
});

test('the sketch leaves what the best approximation of its rank leaves, within a per cent', () => {
  const [rows, cols, rank] = [96, 80, 8];
  const a = gaussian(rows * cols, 5);
  const { s } = svd(a, rows, cols);
  const found = truncatedSvd(a, rows, cols, rank);
  const error = svdProduct(found, rows, cols).reduce((sum, x, i) => sum + (x - a[i]) ** 2, 0);
  const best = s.subarray(rank).reduce((sum, x) => sum + x * x, 0);
  assert.ok(error >= best * (1 - 1e-12) && error < best * 1.01, `${error / best}`);
  orthonormal(found.u, rows, rank);
  assert.deepEqual(truncatedSvd(a, rows, cols, rank), found);
});

test('a matrix of low rank is found whole by the sketch', () => {
  const [rows, cols] = [70, 90];
  const a = matmul(gaussian(rows * 3, 1), gaussian(3 * cols, 2), rows, 3, cols);
  close(svdProduct(truncatedSvd(a, rows, cols, 4), rows, cols), a, 1e-10);
});

test('thin factors multiply back, and stay orthonormal where columns depend on one another', () => {
  const [rows, cols] = [9, 4];
  const a = gaussian(rows * cols, 3);
  for (let i = 0; i < rows; i++) a[i * cols + 2] = a[i * cols] - 2 * a[i * cols + 1];
  const { q, r } = qr(a, rows, cols);
  close(matmul(q, r, rows, cols, cols), a, 1e-13);
  orthonormal(q, rows, cols);
  for (let i = 0; i < cols; i++) for (let j = 0; j < i; j++) assert.equal(r[i * cols + j], 0);
});
