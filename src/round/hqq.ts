/**
 * Half-quadratic quantization (Badri & Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models"):
 * moves the zero points of asymmetric integers to lower Σ|w − ŵ|^p, p < 1, which forgives outliers. Alternates
 * shrinkage of the error, e ← sign(e)·max(0, |e| − |e|^(p−1)/β), with z ← mean(q − (w − e)/s); β grows each round.
 * Needs no data. A group keeps the zero point it had where no other is better.
 */
import type { EncodeOptions } from '../formats/format.ts';
import { tilingOf } from '../formats/granularity.ts';
import { pow } from '../numeric/elementary.ts';
import { rne } from '../numeric/rounding.ts';
import { fitMatrix } from './encode-matrix.ts';
import { scaledFormat, wrongFormat, type Rounder } from './rounder.ts';

export interface HqqOptions {
  /** Norm of the error. Default 0.7. */
  readonly p?: number;
  /** First penalty β and its growth per round. Defaults 10 and 1.01. */
  readonly beta?: number;
  readonly growth?: number;
  /** Most rounds. Default 20; 5 per scale where zero points are integers. */
  readonly rounds?: number;
  /** `integer` (default) stays within the format, which every engine reads; `float` gives zero points as float32. */
  readonly zeroPoint?: 'integer' | 'float';
  /** How the first scales are found, as in `EncodeOptions`. */
  readonly search?: EncodeOptions['search'];
}

/** Takes asymmetric integers with tensor, channel or group scales. */
export const hqq: Rounder<HqqOptions> = ({ values, rows, cols, name }, format, _statistics, options = {}) => {
  const scaled = scaledFormat('hqq', format);
  const { integer, granularity } = scaled;
  if (integer?.asymmetric !== true) throw wrongFormat('hqq', format.name, 'asymmetric integers such as uint4/g64');
  const encode: EncodeOptions = { name, ...(options.search === undefined ? {} : { search: options.search }) };
  const fit = fitMatrix(scaled, values, rows, cols, encode);
  const scales = fit.scales.slice();
  const zeros = options.zeroPoint === 'float' ? Float32Array.from(fit.zeros!) : fit.zeros!.slice();
  const tiling = tilingOf(granularity, rows, cols);
  const tilesAcross = tiling.shape[1];
  for (let t = 0; t < zeros.length; t++) {
    const top = Math.floor(t / tilesAcross) * tiling.tileRows, left = (t % tilesAcross) * tiling.tileCols;
    const bottom = Math.min(top + tiling.tileRows, tiling.rows), right = Math.min(left + tiling.tileCols, tiling.cols);
    const group = new Float64Array((bottom - top) * (right - left));
    let at = 0;
    for (let r = top; r < bottom; r++) for (let c = left; c < right; c++) group[at++] = values[r * tiling.cols + c];
    if (group.every((x) => x === 0)) continue;
    const start = { scale: scales[t], zero: zeros[t], loss: Infinity };
    const found = solve(group, start, integer.qmax, scaled.scaleType.round, options);
    scales[t] = found.scale;
    zeros[t] = found.zero;
  }
  return scaled.encodeWith(values, rows, cols, { ...fit, scales, zeros }, encode);
};

interface Solution { readonly scale: number; readonly zero: number; readonly loss: number }

/** Shares of the first scale that are tried where zero points are integers and cannot move by less than a step. */
const ladder = [1, 0.95, 0.9, 0.8];

function solve(w: Float64Array, start: Solution, qmax: number, round: (scale: number) => number, options: HqqOptions): Solution {
  if (options.zeroPoint === 'float') return descend(w, start, qmax, false, options);
  let best = start;
  for (const share of ladder) {
    const scale = round(Math.fround(start.scale * share));
    const found = descend(w, { scale, zero: start.zero, loss: share === 1 ? start.loss : Infinity }, qmax, true, options);
    if (found.loss < best.loss) best = found;
  }
  return best;
}

/** The best zero point on the path of the half-quadratic iteration, judged with the codes that the format will choose. */
function descend(w: Float64Array, start: Solution, qmax: number, whole: boolean, options: HqqOptions): Solution {
  const { p = 0.7, growth = 1.01, rounds = whole ? 5 : 20 } = options;
  let { beta = 10 } = options;
  const { scale } = start;
  const clamp = (q: number): number => (q < 0 ? 0 : q > qmax ? qmax : q);
  const loss = (zero: number): number => {
    let sum = 0;
    for (const x of w) {
      const v = Math.fround(x / scale);
      const q = whole ? clamp(rne(v) + zero) : clamp(rne(Math.fround(v + zero)));
      const size = Math.abs(x - Math.fround(scale * (q - zero)));
      if (size > 0) sum += pow(size, p);
    }
    return sum;
  };
  let best = start;
  let zero = start.zero;
  const tried = new Set<number>();
  for (let round = 0; round < rounds; round++) {
    const candidate = whole ? clamp(rne(zero)) : Math.fround(zero);
    if (!tried.has(candidate)) {
      tried.add(candidate);
      const found = loss(candidate);
      if (found < best.loss) best = { scale, zero: candidate, loss: found };
    }
    let sum = 0;
    for (const x of w) {
      const q = clamp(rne(x / scale + zero));
      const error = x - scale * (q - zero);
      const size = Math.abs(error);
      const kept = size === 0 ? 0 : size - pow(size, p - 1) / beta;
      sum += q - (x - (kept > 0 ? (error < 0 ? -kept : kept) : 0)) / scale;
    }
    const next = sum / w.length;
    if (Math.abs(next - zero) < 1e-5) break;
    zero = next;
    beta *= growth;
  }
  return best;
}

/** Σ|w − ŵ|^p, the measure that HQQ lowers. */
export function normError(values: Float32Array, decoded: Float32Array, p = 0.7): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += pow(Math.abs(values[i] - decoded[i]), p);
  return sum;
}
