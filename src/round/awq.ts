/**
 * Activation-aware weight quantization (Lin et al. 2023): input channels with large activations are scaled up before
 * rounding and the activations down by as much. The scales are s = mean|x|^α / √(max·min), α the best of a grid by
 * the output error Σ (x·(ŵ − w))², measured through XᵀX where it is known, else through its diagonal.
 */
import type { EncodeOptions, NumberFormat, Quantized } from '../formats/format.ts';
import { pow } from '../numeric/elementary.ts';
import { nearest } from './nearest.ts';
import { required, type InputStatistics, type Matrix } from './rounder.ts';

export interface AwqOptions {
  /** Points of the grid of α in [0, 1). Default 20. */
  readonly grid?: number;
  /** How the scales of the format are found, as in `EncodeOptions`. */
  readonly search?: EncodeOptions['search'];
  /** Rows of each matrix on which α is judged, evenly spaced. Default: all while XᵀX costs little, 32 at 4096 columns. */
  readonly judgedRows?: number;
}

export interface AwqResult {
  /** Per input channel: weights were multiplied by it, activations must be divided by it. */
  readonly channelScales: Float32Array;
  readonly alpha: number;
  /** The output error that was minimised, and that of plain nearest (α = 0). */
  readonly error: number;
  readonly nearestError: number;
  /** One per matrix, of the scaled weights. */
  readonly quantized: readonly Quantized[];
}

/** Multiplications with XᵀX that one point of the grid may cost: seconds, not minutes, per matrix. */
const judgedWork = 2 ** 29;

/** Matrices that read the same input (q, k, v; gate, up) get one set of scales. Needs `meanAbsolute`; better with `hessian`. */
export function awq(weights: readonly Matrix[], format: NumberFormat, statistics: InputStatistics, options: AwqOptions = {}): AwqResult {
  const { grid = 20, search } = options;
  const { cols } = weights[0];
  const magnitude = required('awq', weights[0], 'mean absolute activations', statistics.meanAbsolute, cols);
  const encode: EncodeOptions = search === undefined ? {} : { search };
  const judged = weights.map((weight) => rowsOf(weight, options.judgedRows ?? Math.max(32, Math.floor(judgedWork / cols ** 2))));
  const measure = errorMeasure(weights[0], statistics, magnitude);
  let best: { alpha: number; error: number; scales: Float32Array } = { alpha: 0, error: Infinity, scales: new Float32Array(cols).fill(1) };
  let nearestError = Infinity;
  for (let point = 0; point < grid; point++) {
    const alpha = point / grid;
    const scales = channelScales(magnitude, alpha);
    let error = 0;
    for (const weight of judged) {
      const decoded = format.decode(nearest(scaleColumns(weight, scales), format, undefined, encode));
      for (let i = 0; i < decoded.length; i++) decoded[i] /= scales[i % cols];
      error += measure(weight, decoded);
    }
    if (point === 0) nearestError = error;
    if (error < best.error) best = { alpha, error, scales };
  }
  return {
    channelScales: best.scales, alpha: best.alpha, error: best.error, nearestError,
    quantized: weights.map((weight) => nearest(scaleColumns(weight, best.scales), format, undefined, encode)),
  };
}

/** mean|x|^α, normalised so that the largest and the smallest are reciprocal; α = 0 gives ones. */
export function channelScales(magnitude: Float32Array, alpha: number): Float32Array {
  // A channel that is silent in calibration must not be scaled to infinity.
  const raw = Float64Array.from(magnitude, (m) => (alpha === 0 ? 1 : Math.max(pow(m, alpha), 1e-4)));
  let low = Infinity, high = 0;
  for (const value of raw) { low = Math.min(low, value); high = Math.max(high, value); }
  const middle = Math.sqrt(high * low);
  return Float32Array.from(raw, (value) => value / middle);
}

/** The matrix with column j multiplied by scales[j]. */
export function scaleColumns(weight: Matrix, scales: Float32Array): Matrix {
  const values = new Float32Array(weight.values.length);
  for (let i = 0; i < values.length; i++) values[i] = weight.values[i] * scales[i % weight.cols];
  return { ...weight, values };
}

function rowsOf(weight: Matrix, count: number): Matrix {
  const { rows, cols, values } = weight;
  if (count >= rows) return weight;
  const picked = new Float32Array(count * cols);
  for (let i = 0; i < count; i++) {
    const row = Math.floor((i * rows) / count);
    picked.set(values.subarray(row * cols, (row + 1) * cols), i * cols);
  }
  return { ...weight, values: picked, rows: count };
}

/** Rows whose errors are measured together: each its own sum, so that they do not wait for one another. */
const together = 4;

/** Σ over rows of e·H·eᵀ, e = decoded − weight; without second moments, of the weighted squares. Float64, in index order. */
function errorMeasure(first: Matrix, statistics: InputStatistics, magnitude: Float32Array): (weight: Matrix, decoded: Float32Array) => number {
  const { cols } = first;
  const { hessian, meanSquare } = statistics;
  // Columns of `together` rows side by side.
  const e = new Float64Array(together * cols);
  const sums = new Float64Array(together);
  const addErrors = hessian === undefined
    ? () => {
        for (let i = 0; i < cols; i++) {
          const weight = meanSquare?.[i] ?? magnitude[i] * magnitude[i];
          for (let r = 0; r < together; r++) sums[r] += e[together * i + r] * e[together * i + r] * weight;
        }
      }
    : () => {
        for (let i = 0, at = 0; i < cols; i++, at += cols) {
          let a = 0, b = 0, c = 0, d = 0;
          for (let j = 0, k = 0; j < i; j++, k += together) {
            const h = hessian[at + j];
            a += h * e[k];
            b += h * e[k + 1];
            c += h * e[k + 2];
            d += h * e[k + 3];
          }
          const h = hessian[at + i];
          const k = together * i;
          sums[0] += (2 * a + h * e[k]) * e[k];
          sums[1] += (2 * b + h * e[k + 1]) * e[k + 1];
          sums[2] += (2 * c + h * e[k + 2]) * e[k + 2];
          sums[3] += (2 * d + h * e[k + 3]) * e[k + 3];
        }
      };
  return ({ values, rows }, decoded) => {
    let total = 0;
    for (let begin = 0; begin < rows; begin += together) {
      const count = Math.min(together, rows - begin);
      e.fill(0);
      for (let r = 0; r < count; r++) {
        for (let i = 0, at = (begin + r) * cols; i < cols; i++, at++) e[together * i + r] = decoded[at] - values[at];
      }
      sums.fill(0);
      addErrors();
      for (let r = 0; r < count; r++) total += sums[r];
    }
    return total;
  };
}
