/**
 * Error feedback from block to block of columns (LDLQ; QuIP, Chee et al. 2023, and QTIP, Tseng et al. 2024): for codes that
 * stand for many weights at once, trellises and vectors. With H = XᵀX = U·D·Uᵀ, U unit upper triangular with identities on
 * its diagonal blocks of 16 columns, block b is coded after adding Σ_{j<b} (W_j − Ŵ_j)·U_jb. A rotated format is rounded as
 * its turned matrix, with the turned second moment.
 */
import { hadamardFast } from '../engine/kernels/hadamard.ts';
import { stripRows, wasmFeedback, type FeedbackKernel, type UnitUpper } from '../engine/kernels/gemm.ts';
import { blockCols, finished, isBlockFormat, type BlockFormat } from '../formats/column-blocks.ts';
import type { NumberFormat } from '../formats/format.ts';
import { isRotated, rotated, rotatedMoment } from '../formats/rotated.ts';
import { isScaled } from '../formats/scaled.ts';
import { searchTrellis } from './encode-matrix.ts';
import { factorHessian, gptq, type HessianFactor } from './gptq.ts';
import { required, wrongFormat, type Matrix, type Rounder } from './rounder.ts';

export interface LdlqOptions {
  /** Added to the diagonal of H, as a fraction of its mean. Default 0.01. */
  readonly damping?: number;
  /** A factor made before by `factorForLdlq` for the same format, for matrices that share their input. */
  readonly factor?: HessianFactor;
  readonly kernel?: FeedbackKernel;
}

/** Needs `hessian`, unless a factor is given. Formats: vectors and trellises, rotated or not, and what GPTQ takes behind a rotation. */
export const ldlq: Rounder<LdlqOptions> = (weight, format, statistics, options = {}) => {
  const { rows, cols } = weight;
  if (isRotated(format)) {
    const factor = options.factor ?? factorForLdlq(needed(weight, statistics?.hessian), cols, format, options);
    return format.turnedBack(ldlq({ ...weight, values: rotated(weight.values, rows, cols, hadamardFast) }, format.inner, undefined, { ...options, factor }), weight.values, hadamardFast);
  }
  const factor = options.factor ?? factorForLdlq(needed(weight, statistics?.hessian), cols, format, options);
  if (isScaled(format)) return gptq(weight, format, undefined, { factor });
  if (!isBlockFormat(format)) throw wrongFormat('ldlq', format.name, 'vectors such as vq2.5, trellises such as tcq3.25, and what is rotated, such as lloydmax3+had');
  return blocks(weight, format, inBlocks(factor.upper), options.kernel ?? wasmFeedback);
};

const needed = (weight: Matrix, hessian: Float32Array | Float64Array | undefined) =>
  required('ldlq', weight, 'second moments of its inputs', hessian, weight.cols * weight.cols);

/** Damps and factors a second moment [cols, cols], columns left to right; turned first for rotated formats. */
export const factorForLdlq = (hessian: Float32Array | Float64Array, cols: number, format: NumberFormat, { damping = 0.01, kernel = wasmFeedback }: LdlqOptions = {}): HessianFactor =>
  factorHessian(isRotated(format) ? rotatedMoment(Float32Array.from(hessian), cols) : hessian, cols, { damping, order: 'natural', kernel });

function blocks({ values, rows, cols }: Matrix, format: BlockFormat, upper: UnitUpper, kernel: FeedbackKernel) {
  const { padded } = upper;
  const scales = format.fit(values, rows, cols);
  const coder = format.coder(scales, rows, cols, searchTrellis);
  const tile = kernel.tile(upper, Math.ceil(rows / stripRows));
  const at = (row: number, col: number): number => Math.floor(row / stripRows) * padded * stripRows + col * stripRows + (row % stripRows);
  for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) tile.weights[at(r, c)] = values[r * cols + c];
  tile.errors.set(tile.weights);
  for (let first = 0; first < cols; first += blockCols) {
    const width = Math.min(blockCols, cols - first);
    tile.feedback(first >> 2, (first + width + 3) >> 2, 0, first);
    const block = new Float32Array(rows * width);
    for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) block[r * width + c] = tile.weights[at(r, first + c)];
    const decoded = coder.encode(block, first, width);
    for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) tile.errors[at(r, first + c)] -= decoded[r * width + c];
  }
  return finished(format, coder, scales, values, rows, cols);
}

/** U·E⁻¹, E the diagonal blocks of U: the block factor of the same matrix, its own diagonal blocks identities. */
function inBlocks({ size, padded, panels }: UnitUpper): UnitUpper {
  const out = panels.slice();
  const index = (row: number, col: number): number => 8 * (col >> 2) * ((col >> 2) + 1) + 4 * row + (col & 3);
  for (let first = 0; first < padded; first += blockCols) {
    const last = Math.min(padded, first + blockCols);
    for (let row = 0; row < first; row++) {
      for (let col = first; col < last; col++) {
        let x = panels[index(row, col)];
        for (let i = first; i < col; i++) x -= out[index(row, i)] * panels[index(i, col)];
        out[index(row, col)] = x;
      }
    }
    for (let col = first; col < last; col++) for (let row = first; row < last; row++) if (row <= (col | 3)) out[index(row, col)] = Number(row === col);
  }
  return { size, padded, panels: out };
}
