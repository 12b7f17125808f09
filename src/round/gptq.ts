/**
 * Error feedback: columns are rounded one after another, and columns still to come make up for the output error made
 * so far (GPTQ, Frantar et al. 2022). With H = XᵀX = U·D·Uᵀ, U unit upper triangular, column k is rounded after adding
 * Σ_{j<k} (w_j − ŵ_j)·U_jk, which is GPTQ's update without an inverse (equivalence: QuIP, Chee et al. 2023, theorem 6).
 * Rows do not depend on one another: any split over threads gives the same bits.
 */
import { wasmFeedback, stripRows, type FeedbackKernel, type UnitUpper } from '../engine/kernels/gemm.ts';
import type { EncodeOptions, Quantized } from '../formats/format.ts';
import type { Fit, ScaledFormat } from '../formats/scaled.ts';
import { fitMatrix } from './encode-matrix.ts';
import { required, scaledFormat, squaredDifference, type InputStatistics, type Matrix, type Rounder } from './rounder.ts';

export interface GptqOptions {
  /** Added to the diagonal of H, as a fraction of its mean. Default 0.01. */
  readonly damping?: number;
  /**
   * `activation` (default): columns with large activations first, scales of all groups found beforehand.
   * `natural`: columns left to right, scales found when their group begins, on the weights as corrected by then.
   */
  readonly order?: 'activation' | 'natural';
  /** How scales are found, as in `EncodeOptions`. */
  readonly search?: EncodeOptions['search'];
  /** A factor made before by `factorHessian` with the same settings, for matrices that share their input. */
  readonly factor?: HessianFactor;
  /** Plain twin or WASM (default); the same bits. */
  readonly kernel?: FeedbackKernel;
}

/** What error feedback needs of H, once for all matrices with this input. */
export interface HessianFactor {
  /** Position → column. */
  readonly order: Uint32Array;
  readonly natural: boolean;
  readonly upper: UnitUpper;
}

/** Orders, damps and factors a second moment [cols, cols]. Columns that were never active stay uncoupled. */
export function factorHessian(hessian: Float32Array | Float64Array, cols: number, options: GptqOptions = {}): HessianFactor {
  const { damping = 0.01, order: wanted = 'activation', kernel = wasmFeedback } = options;
  const diagonal = (i: number): number => hessian[i * cols + i];
  let trace = 0;
  for (let i = 0; i < cols; i++) trace += diagonal(i);
  // All inputs zero: any positive diagonal makes the rounding plain nearest.
  const added = trace > 0 ? (damping * trace) / cols : 1;
  const order = Uint32Array.from({ length: cols }, (_, i) => i);
  if (wanted === 'activation') order.sort((a, b) => diagonal(b) - diagonal(a) || a - b);
  return { order, natural: wanted === 'natural', upper: kernel.factor({ values: hessian, size: cols, order, damping: added }) };
}

/** Rows rounded together: their weights and errors stay in the second-level cache. */
const tileRows = 64;
/** Columns rounded between two updates from all columns before them; a multiple of four. */
const blockCols = 32;

/** Needs `hessian`, unless a factor is given. Formats: integers, small floats, microscaling, tables. */
export const gptq: Rounder<GptqOptions> = (weight, format, statistics, options = {}) => {
  const { values, rows, cols, name } = weight;
  const scaled = scaledFormat('gptq', format);
  const factor = options.factor ?? factorHessian(
    required('gptq', weight, 'second moments of its inputs', statistics?.hessian, cols * cols), cols, options,
  );
  const encode: EncodeOptions = { name, ...(options.search === undefined ? {} : { search: options.search }) };
  const fit = fitMatrix(scaled, values, rows, cols, encode);
  const codes = scaled.encode(new Float32Array(cols), 1, cols).codes.constructor as Int8ArrayConstructor | Uint8ArrayConstructor;
  const sweep: Sweep = {
    weight, format: scaled, factor, encode, codes: new codes(rows * cols),
    fit: { ...fit, scales: fit.scales.slice(), ...(fit.zeros === undefined ? {} : { zeros: fit.zeros.slice() }) },
    width: factor.natural && regroups(scaled, fit, cols) ? scaled.group : cols,
  };
  const tile = (options.kernel ?? wasmFeedback).tile(factor.upper, Math.min(tileRows, Math.ceil(rows / stripRows) * stripRows) / stripRows);
  for (let row = 0; row < rows; row += tileRows) roundTile(sweep, tile, row, Math.min(rows, row + tileRows));
  const rounded: Quantized = { format: scaled.name, rows, cols, codes: sweep.codes, ...sweep.fit, squaredError: 0 };
  return { ...rounded, squaredError: squaredDifference(scaled.decode(rounded), values) };
};

interface Sweep {
  readonly weight: Matrix;
  readonly format: ScaledFormat;
  readonly factor: HessianFactor;
  readonly encode: EncodeOptions;
  readonly codes: Int8Array | Uint8Array;
  readonly fit: Fit;
  /** Columns whose scales are found together while rounding; all columns when scales are found beforehand. */
  readonly width: number;
}

/** Scales can be found group by group only where nothing else of the fit spans groups. */
const regroups = (format: ScaledFormat, fit: Fit, cols: number): boolean =>
  format.granularity.kind === 'group' && format.group < cols && format.group % 4 === 0
  && fit.tensorScale === undefined && fit.codebook === undefined && fit.doubleQuantized === undefined;

function roundTile(sweep: Sweep, tile: ReturnType<FeedbackKernel['tile']>, begin: number, end: number): void {
  const { weight: { values, rows, cols }, format, factor: { order, upper: { padded } }, fit, codes, width } = sweep;
  const { weights, errors } = tile;
  const at = (row: number): number => Math.floor(row / stripRows) * padded * stripRows + (row % stripRows);
  const count = end - begin;
  for (let r = 0; r < count; r++) {
    const from = (begin + r) * cols;
    for (let k = 0, to = at(r); k < cols; k++, to += stripRows) weights[to] = values[from + order[k]];
  }
  errors.set(weights);

  let rounder = format.rounder(fit, rows, cols);
  let rowBase = begin;
  for (let first = 0; first < cols; first += width) {
    const last = Math.min(first + width, cols);
    const regrouped = width < cols;
    if (regrouped) {
      tile.feedback(first >> 2, (last + 3) >> 2, 0, first);
      const group = new Float32Array(count * (last - first));
      for (let r = 0; r < count; r++) {
        for (let k = first, from = at(r) + first * stripRows; k < last; k++, from += stripRows) group[r * (last - first) + k - first] = weights[from];
      }
      const found = fitMatrix(format, group, count, last - first, sweep.encode);
      rounder = format.rounder(found, count, last - first);
      rowBase = 0;
      const index = first / width, stride = fit.scaleShape[1];
      for (let r = 0; r < count; r++) {
        fit.scales[(begin + r) * stride + index] = found.scales[r];
        if (fit.zeros !== undefined && found.zeros !== undefined) fit.zeros[(begin + r) * stride + index] = found.zeros[r];
      }
    }
    for (let block = first; block < last; block += blockCols) {
      const stop = Math.min(block + blockCols, last);
      tile.feedback(block >> 2, (stop + 3) >> 2, regrouped ? first : 0, block);
      for (let k = block; k < stop; k++) {
        const within = k & 3;
        if (within === 0) tile.feedback(k >> 2, (k >> 2) + 1, block, k);
        const col = order[k];
        const place = regrouped ? k - first : col;
        for (let r = 0; r < count; r++) {
          const i = at(r) + k * stripRows;
          let w = weights[i];
          for (let j = within; j > 0; j--) {
            w = Math.fround(w + Math.fround(errors[i - j * stripRows] * tileEntry(sweep.factor.upper, k - j, k)));
          }
          const code = rounder.code(w, rowBase + r, place);
          codes[(begin + r) * cols + col] = code;
          errors[i] = Math.fround(errors[i] - rounder.value(code, rowBase + r, place));
        }
      }
    }
  }
}

const tileEntry = ({ panels }: UnitUpper, j: number, k: number): number => panels[8 * (k >> 2) * ((k >> 2) + 1) + 4 * j + (k & 3)];

/** Output error tr(E·H·Eᵀ) that rounders with feedback lower; E = decoded − weight. */
export function outputError(weight: Matrix, decoded: Float32Array, { hessian }: InputStatistics): number {
  const { values, rows, cols } = weight;
  const h = required('output error', weight, 'second moments of its inputs', hessian, cols * cols);
  let total = 0;
  const e = new Float64Array(cols);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < cols; i++) e[i] = decoded[r * cols + i] - values[r * cols + i];
    for (let i = 0; i < cols; i++) {
      let s = 0;
      for (let j = 0; j < cols; j++) s += h[i * cols + j] * e[j];
      total += s * e[i];
    }
  }
  return total;
}
