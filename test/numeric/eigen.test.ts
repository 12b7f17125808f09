import assert from 'node:assert/strict';
import { test } from 'node:test';
import { symmetricEigen } from '../../src/numeric/eigen.ts';
import { hadamardMatrix } from '../../src/numeric/hadamard.ts';
import { gram, matmul } from '../../src/numeric/matrix.ts';
import { normal } from '../../src/numeric/random.ts';

const close = (found: ArrayLike<number>, expected: readonly number[], tolerance = 1e-12): void => {
  assert.equal(found.length, expected.length);
  for (const [i, value] of expected.entries()) assert.ok(Math.abs(found[i] - value) < tolerance, `${i}: ${found[i]} for ${value}`);
};

/** Diagonal of Rᵀ·C·R: the variances of the channels of X·R. */
const variances = (c: readonly number[], rotation: ArrayLike<number>, n: number): number[] =>
  Array.from({ length: n }, (_, l) => {
    let sum = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sum += rotation[i * n + l] * c[i * n + j] * rotation[j * n + l];
    return sum;
  });

test('two equal variances that correlate: order and signs are fixed', () => {
  const { values, vectors } = symmetricEigen([5, 3, 3, 5], 2);
  const half = Math.SQRT1_2;
  close(values, [8, 2]);
  close(vectors, [half, half, half, -half]);
});

test('eigenvectors before a Hadamard matrix make all variances equal, the Hadamard matrix alone does not (MambaQuant)', () => {
  const two = [5, 3, 3, 5];
  close(variances(two, hadamardMatrix(2), 2), [8, 2], 1e-6);
  const turned = matmul(symmetricEigen(two, 2).vectors, hadamardMatrix(2), 2, 2, 2);
  close(turned, [1, 0, 0, 1], 1e-7);
  close(variances(two, turned, 2), [5, 5], 1e-6);
  close(variances([9, 0, 0, 1], hadamardMatrix(2), 2), [5, 5], 1e-6);
  const four = [4, 2, 0, 0, 2, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  close(variances(four, hadamardMatrix(4), 4), [3.5, 1.5, 3.5, 1.5], 1e-6);
  close(variances(four, matmul(symmetricEigen(four, 4).vectors, hadamardMatrix(4), 4, 4, 4), 4), [2.5, 2.5, 2.5, 2.5], 1e-6);
});

test('a covariance of rank below its size: orthonormal vectors, descending values, the matrix again', () => {
  const [rows, size] = [40, 64];
  const c = gram(Float64Array.from({ length: rows * size }, (_, i) => normal(1, 0, i)), rows, size);
  const { values, vectors } = symmetricEigen(c, size);
  assert.ok(values.every((value, i) => i === 0 || value <= values[i - 1]));
  close(values.slice(rows), Array<number>(size - rows).fill(0), 1e-10);
  close(gram(vectors, size, size), Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)), 1e-13);
  const scaled = vectors.map((v, i) => v * values[i % size]);
  const across = Float64Array.from({ length: size * size }, (_, i) => vectors[(i % size) * size + Math.floor(i / size)]);
  close(matmul(scaled, across, size, size, size), [...c], 1e-10);
  for (let k = 0; k < size; k++) {
    const column = Array.from({ length: size }, (_, i) => vectors[i * size + k]);
    assert.ok(column.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) > 0);
  }
});

test('nothing to turn, nothing finite', () => {
  assert.deepEqual([...symmetricEigen([2, 0, 0, 3], 2).values], [3, 2]);
  assert.deepEqual([...symmetricEigen([], 0).values], []);
  assert.throws(() => symmetricEigen([1, NaN, NaN, 1], 2), { message: 'eigenvalues of a 2×2 matrix did not settle: a value is not finite' });
  assert.throws(() => symmetricEigen([1, 2, 3], 2), { message: 'a 2×2 matrix has 4 elements, got 3' });
});
