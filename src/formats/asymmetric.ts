/**
 * Unsigned integers with a zero point per tile: x̂ = s·(q − z), s = (max(0, hi) − min(0, lo))/qmax,
 * z = round(−lo/s) clamped to the codes, so that zero is exact. ONNX, compressed-tensors, AWQ, GPTQ.
 */
import { rhaz, rne } from '../numeric/rounding.ts';
import { squaredDistance } from '../numeric/statistics.ts';
import type { EncodeOptions, Quantized } from './format.ts';
import { groupOf, tilingOf, type Granularity } from './granularity.ts';
import { defaultLadder, power24, searchScale } from './scale-search.ts';
import type { ScaleType } from './scale-type.ts';
import { checkInput, errors, type Fit, type ScaledFormat } from './scaled.ts';
import { forEachRun, scaleIndexer } from './symmetric.ts';
import { tileLoader } from './tile-measure.ts';

const magic = 6755399441055744;

/** Nearest integer of v within [low, high], ties as named; low and high are integers. */
function clampRound(v: number, low: number, high: number, even: boolean): number {
  if (v <= low) return low;
  if (v >= high) return high;
  return even ? v + magic - magic : rhaz(v);
}

export function asymmetricFormat(name: string, bits: number, granularity: Granularity, scaleType: ScaleType): ScaledFormat {
  const qmax = 2 ** bits - 1;

  function fit(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Fit {
    checkInput(values, rows, cols, options);
    if (options.scaleRule !== undefined) throw errors.scaleRule({ rule: options.scaleRule, format: name, fits: 'none' });
    const tiling = tilingOf(granularity, rows, cols);
    const count = tiling.shape[0] * tiling.shape[1];
    const scales = new Float32Array(count).fill(1);
    const zeros = new Uint8Array(count);
    // The range always holds zero.
    const low = new Float32Array(count);
    const high = new Float32Array(count);
    forEachRun(tiling, (begin, end, at) => {
      let lo = low[at];
      let hi = high[at];
      for (let i = begin; i < end; i++) {
        const x = values[i];
        if (x < lo) lo = x;
        if (x > hi) hi = x;
      }
      low[at] = lo;
      high[at] = hi;
    });
    const searched = options.search === 'mse' || options.search === 'p2.4';
    const round = options.rounding === 'rhaz' ? rhaz : rne;
    const search = searched ? rangeSearch(values, options, tileLoader(values, tiling, cols, options.importance), scaleType, qmax) : undefined;
    for (let at = 0; at < count; at++) {
      const lo = low[at];
      const hi = high[at];
      if (lo === hi) continue;
      const span = Math.fround(hi - lo);
      scales[at] = scaleType.round(Math.fround((span === Infinity ? hi - lo : span) / qmax));
      zeros[at] = Math.min(qmax, Math.max(0, round(Math.fround(-lo / scales[at]))));
      if (search) [scales[at], zeros[at]] = search(at, scales[at], zeros[at]);
    }
    return { scales, zeros, scaleShape: tiling.shape };
  }

  function encodeWith(values: Float32Array, rows: number, cols: number, fitted: Fit, options: EncodeOptions = {}): Quantized {
    const { scales, zeros } = zeroed(fitted);
    const codes = new Uint8Array(values.length);
    const even = options.rounding !== 'rhaz';
    forEachRun(tilingOf(granularity, rows, cols), (begin, end, at) => {
      const scale = scales[at];
      const zero = zeros[at];
      if (zeros instanceof Float32Array) {
        for (let i = begin; i < end; i++) codes[i] = clampRound(Math.fround(Math.fround(values[i] / scale) + zero), 0, qmax, even);
        return;
      }
      const low = -zero;
      const high = qmax - zero;
      for (let i = begin; i < end; i++) codes[i] = clampRound(Math.fround(values[i] / scale), low, high, even) + zero;
    });
    const quantized = { format: name, rows, cols, codes, ...fitted, squaredError: 0 };
    return { ...quantized, squaredError: squaredDistance(decode(quantized), values) };
  }

  function decode(quantized: Quantized): Float32Array {
    const { rows, cols, codes } = quantized;
    if (codes.length !== rows * cols) throw errors.codesMismatch({ format: name, length: codes.length, rows, cols });
    const { scales, zeros } = zeroed(quantized);
    const out = new Float32Array(rows * cols);
    forEachRun(tilingOf(granularity, rows, cols), (begin, end, at) => {
      const scale = scales[at];
      const zero = zeros[at];
      for (let i = begin; i < end; i++) out[i] = scale * (codes[i] - zero);
    });
    return out;
  }

  return {
    name, family: 'integer', bits, group: groupOf(granularity), granularity, scaleType,
    integer: { qmin: 0, qmax, asymmetric: true },
    bitsPerWeight(rows, cols) {
      const [r, c] = tilingOf(granularity, rows, cols).shape;
      return bits + (r * c * (scaleType.bits + bits)) / Math.max(1, rows * cols);
    },
    refuses: () => undefined,
    fit, encodeWith, decode,
    encode: (values, rows, cols, options) => encodeWith(values, rows, cols, fit(values, rows, cols, options), options),
    rounder(fitted, rows, cols) {
      const { scales, zeros } = zeroed(fitted);
      const scaleIndex = scaleIndexer(tilingOf(granularity, rows, cols), rows, cols);
      return {
        code(x, row, col) {
          const at = scaleIndex(row, col);
          const v = Math.fround(Math.fround(x) / scales[at]);
          if (zeros instanceof Float32Array) return clampRound(Math.fround(v + zeros[at]), 0, qmax, true);
          return clampRound(v, -zeros[at], qmax - zeros[at], true) + zeros[at];
        },
        value(q, row, col) {
          const at = scaleIndex(row, col);
          return Math.fround(scales[at] * (q - zeros[at]));
        },
      };
    },
  };
}

/** Zero points of a fit; a fit without them has all zero. Float zero points (HQQ) shift before the rounding, integer ones after. */
function zeroed(fit: Pick<Fit, 'scales' | 'zeros'>) {
  return { scales: fit.scales, zeros: fit.zeros ?? new Uint8Array(fit.scales.length) };
}

/** Searches scale and zero point of a tile: the range shrinks as a whole, each scale with its three nearest zero points. */
function rangeSearch(
  values: Float32Array, options: EncodeOptions, load: ReturnType<typeof tileLoader>, scaleType: ScaleType, qmax: number,
) {
  const squared = options.search !== 'p2.4';
  const even = options.rounding !== 'rhaz';
  let tile = values;
  let weights: Float32Array | undefined;
  let unit = 1;

  const errorOf = (scale: number, zero: number, best: number): number => {
    let sum = 0;
    for (let i = 0; i < tile.length; i++) {
      const q = clampRound(Math.fround(tile[i] / scale), -zero, qmax - zero, even);
      const d = (Math.fround(scale * q) - tile[i]) * unit;
      const e = squared ? d * d : power24(d);
      sum += weights === undefined ? e : e * weights[i];
      if ((i & 31) === 31 && sum > best) return sum;
    }
    return sum;
  };

  return (at: number, firstScale: number, firstZero: number): [number, number] => {
    ({ values: tile, weights } = load(at));
    unit = squared ? 1 : 1 / (firstScale * qmax);
    let zeroOfBest = firstZero;
    const error = (scale: number, best: number): number => {
      if (best === Infinity) return errorOf(scale, firstZero, best);
      // Shrinking the range around its middle keeps the zero point; clipping one end moves it.
      let least = best;
      for (const candidate of [zeroOfBest, zeroOfBest - 1, zeroOfBest + 1]) {
        if (candidate < 0 || candidate > qmax) continue;
        const e = errorOf(scale, candidate, least);
        if (e < least) {
          least = e;
          zeroOfBest = candidate;
        }
      }
      return least;
    };
    const refit = (scale: number): number => {
      let xq = 0;
      let qq = 0;
      for (let i = 0; i < tile.length; i++) {
        const q = clampRound(Math.fround(tile[i] / scale), -zeroOfBest, qmax - zeroOfBest, even);
        const w = weights === undefined ? 1 : weights[i];
        xq += w * tile[i] * q;
        qq += w * q * q;
      }
      return qq > 0 && xq > 0 ? xq / qq : scale;
    };
    const { scale } = searchScale({ start: firstScale, error, round: scaleType.round, ladder: defaultLadder, refit: squared ? refit : undefined });
    return [scale, zeroOfBest];
  };
}
