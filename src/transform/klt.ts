/**
 * Rotations that give every channel the same variance: eigenvectors of the covariance, then a Hadamard matrix, whose
 * entries are all of one size (MambaQuant, arXiv:2501.13484, section 4.1). A dense matrix: for folding into weights.
 */
import { symmetricEigen } from '../numeric/eigen.ts';
import type { Moments } from '../observe/moments.ts';
import { hadamardRotation, turnRows, type Rotation } from './rotation.ts';

/** Covariance [width, width] of what was observed. */
export function covariance({ hessian, mean }: Pick<Moments, 'hessian' | 'mean'>): Float64Array {
  const width = mean.length;
  return Float64Array.from(hessian!, (value, i) => value - mean[Math.floor(i / width)] * mean[i % width]);
}

/**
 * K·H of a covariance. Where no Hadamard matrix has the width, eigenvectors are dealt to its blocks in turn, so that the
 * blocks' variances are near each other's.
 */
export function kltRotation(covarianceMatrix: ArrayLike<number>, width: number): Rotation {
  const hadamard = hadamardRotation(width);
  const { vectors } = symmetricEigen(covarianceMatrix, width);
  const { order } = hadamard;
  const blocks = width / order;
  const dealt = Float64Array.from(vectors, (_, i) => {
    const column = i % width;
    return vectors[i - column + (column % order) * blocks + Math.floor(column / order)];
  });
  return { width, order: width, matrix: turnRows(dealt, hadamard) };
}

/** Largest variance of a channel over the smallest, after a rotation where one is given. */
export function varianceRatio(covarianceMatrix: ArrayLike<number>, width: number, rotation?: Rotation): number {
  // Rows of C·R, then columns against those of R: the diagonal of Rᵀ·C·R.
  const variances = Float64Array.from({ length: width }, (_, l) => {
    if (rotation === undefined) return covarianceMatrix[l * width + l];
    const column = Float64Array.from({ length: width }, (_one, i) => entry(rotation, i, l));
    let sum = 0;
    for (let i = 0; i < width; i++) {
      if (column[i] === 0) continue;
      let row = 0;
      for (let j = 0; j < width; j++) row += covarianceMatrix[i * width + j] * column[j];
      sum += column[i] * row;
    }
    return sum;
  });
  return variances.reduce((a, b) => Math.max(a, b)) / variances.reduce((a, b) => Math.min(a, b));
}

const entry = ({ order, matrix }: Rotation, row: number, column: number): number =>
  (Math.floor(row / order) === Math.floor(column / order) ? matrix[(row % order) * order + (column % order)] : 0);
