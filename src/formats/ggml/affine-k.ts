/**
 * Super-blocks of 256 whose sub-blocks have a scale and a minimum: Q2_K (16 of 16, 4-bit scales),
 * Q4_K and Q5_K (8 of 32, 6-bit scales). x ≈ d·scale·code − dmin·min.
 * Codes are chosen again with the stored scales; a sub-block whose stored scale is zero gets zero codes.
 */
import { f16ToF32, f32ToF16 } from '../../numeric/half.ts';
import { halfAt, importanceWeights, nearest, putHalf, sumOfSquares, type BlockCodec } from './codec.ts';
import { affineScale, affineTrials, positiveScale, type AffineTrials } from './search.ts';

const f = Math.fround;
const codes = new Uint8Array(256);
const weights = new Float32Array(32);
const scales = new Float32Array(16);
const mins = new Float32Array(16);
const sums = new Float32Array(16);
const scaleCodes = new Uint8Array(16);
const minCodes = new Uint8Array(16);

/** Largest of n values, at least zero. */
function largest(values: Float32Array, n: number): number {
  let max = 0;
  for (let i = 0; i < n; i++) if (values[i] > max) max = values[i];
  return max;
}

/** Codes of values on the linear scale that maps their maximum to `top`; returns the step. */
function linearScale(values: Float32Array, n: number, top: number, into: Uint8Array): number {
  const max = largest(values, n);
  if (!(max > 0)) {
    into.fill(0);
    return 0;
  }
  const inverse = f(top / max);
  for (let j = 0; j < n; j++) into[j] = nearest(f(inverse * values[j]), 0, top);
  return f(max / top);
}

interface AffineShape {
  readonly size: 16 | 32;
  readonly top: 3 | 15 | 31;
  readonly scaleTop: 15 | 63;
  readonly trials: AffineTrials;
  /** Factor of mean x² under the root of the importance weights. */
  readonly variance: 1 | 2;
}

/** Fills codes, scaleCodes and minCodes for one super-block; returns the half-precision d and dmin. */
function encodeBlock(shape: AffineShape, x: Float32Array, at: number, importance: Float32Array | undefined, column: number): [number, number] {
  const { size, top } = shape;
  const count = 256 / size;
  const sigma2 = importance ? f(f(shape.variance * sumOfSquares(x, at, 256)) / 256) : 0;
  for (let j = 0; j < count; j++) {
    const begin = at + size * j;
    if (importance) {
      importanceWeights(x, begin, importance, column + size * j, size, sigma2, weights);
      let sum = 0;
      for (let i = 0; i < size; i++) sum = f(sum + weights[i]);
      sums[j] = sum;
    } else if (top === 3) {
      for (let i = 0; i < size; i++) weights[i] = Math.abs(x[begin + i]);
    } else {
      const rms = f(Math.sqrt(f(sumOfSquares(x, begin, size) / size)));
      for (let i = 0; i < size; i++) weights[i] = rms + Math.abs(x[begin + i]);
    }
    const fit = affineScale(x, begin, size, top, weights, importance ? affineTrials.importance : shape.trials, codes, size * j);
    scales[j] = fit.scale;
    mins[j] = -fit.min;
  }
  const d = f32ToF16(importance
    ? positiveScale(scales, count, shape.scaleTop, sums, scaleCodes)
    : linearScale(scales, count, shape.scaleTop, scaleCodes));
  const dmin = f32ToF16(importance
    ? positiveScale(mins, count, shape.scaleTop, sums, minCodes)
    : linearScale(mins, count, shape.scaleTop, minCodes));
  const step = f16ToF32(d);
  const minStep = f16ToF32(dmin);
  for (let j = 0; j < count; j++) {
    const scale = f(step * scaleCodes[j]);
    if (scale === 0) {
      codes.fill(0, size * j, size * (j + 1));
      continue;
    }
    const min = f(minStep * minCodes[j]);
    for (let i = size * j; i < size * (j + 1); i++) codes[i] = nearest(f(f(x[at + i] + min) / scale), 0, top);
  }
  return [d, dmin];
}

const shape2: AffineShape = { size: 16, top: 3, scaleTop: 15, trials: affineTrials.q2_k, variance: 1 };

export const q2_k: BlockCodec = {
  encodeRow(x, at, cols, importance, out, to) {
    for (let column = 0; column < cols; column += 256, at += 256, to += 84) {
      const [d, dmin] = encodeBlock(shape2, x, at, importance, column);
      for (let j = 0; j < 16; j++) out[to + j] = scaleCodes[j] | (minCodes[j] << 4);
      packPairs(out, to + 16);
      putHalf(out, to + 80, d);
      putHalf(out, to + 82, dmin);
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0, o = 0; b < blocks; b++, p += 84, o += 256) {
      const d = f16ToF32(halfAt(bytes, p + 80));
      const dmin = f16ToF32(halfAt(bytes, p + 82));
      for (let j = 0; j < 16; j++) {
        const scale = f(d * (bytes[p + j] & 15));
        const min = f(dmin * (bytes[p + j] >> 4));
        const from = p + 16 + 32 * (j >> 3) + 16 * (j & 1);
        const shift = j & 6;
        for (let i = 0; i < 16; i++) out[o + 16 * j + i] = f(scale * ((bytes[from + i] >> shift) & 3)) - min;
      }
    }
  },
};

/** Two-bit codes: byte l of half h holds elements 128h + l + 32k at bits 2k. */
function packPairs(out: Uint8Array, to: number): void {
  for (let h = 0; h < 2; h++) {
    for (let l = 0; l < 32; l++) {
      const e = 128 * h + l;
      out[to + 32 * h + l] = codes[e] | (codes[e + 32] << 2) | (codes[e + 64] << 4) | (codes[e + 96] << 6);
    }
  }
}

/** Eight pairs of six bits in twelve bytes. */
function packScales(out: Uint8Array, to: number): void {
  for (let j = 0; j < 4; j++) {
    const high = scaleCodes[j + 4];
    const highMin = minCodes[j + 4];
    out[to + j] = scaleCodes[j] | ((high >> 4) << 6);
    out[to + j + 4] = minCodes[j] | ((highMin >> 4) << 6);
    out[to + j + 8] = (high & 15) | ((highMin & 15) << 4);
  }
}

const scaleAt = (bytes: Uint8Array, p: number, j: number): number =>
  j < 4 ? bytes[p + j] & 63 : (bytes[p + j + 4] & 15) | ((bytes[p + j - 4] >> 6) << 4);
const minAt = (bytes: Uint8Array, p: number, j: number): number =>
  j < 4 ? bytes[p + j + 4] & 63 : (bytes[p + j + 4] >> 4) | ((bytes[p + j] >> 6) << 4);

function wide(five: boolean): BlockCodec {
  const shape: AffineShape = {
    size: 32, top: five ? 31 : 15, scaleTop: 63, trials: five ? affineTrials.q5_k : affineTrials.q4_k, variance: 2,
  };
  const blockBytes = five ? 176 : 144;
  const quants = five ? 48 : 16;
  return {
    encodeRow(x, at, cols, importance, out, to) {
      for (let column = 0; column < cols; column += 256, at += 256, to += blockBytes) {
        const [d, dmin] = encodeBlock(shape, x, at, importance, column);
        putHalf(out, to, d);
        putHalf(out, to + 2, dmin);
        packScales(out, to + 4);
        if (five) {
          for (let l = 0; l < 32; l++) {
            let byte = 0;
            for (let k = 0; k < 8; k++) byte |= (codes[32 * k + l] >> 4) << k;
            out[to + 16 + l] = byte;
          }
        }
        for (let r = 0; r < 4; r++) {
          for (let l = 0; l < 32; l++) {
            out[to + quants + 32 * r + l] = (codes[64 * r + l] & 15) | ((codes[64 * r + 32 + l] & 15) << 4);
          }
        }
      }
    },
    decode(bytes, blocks, out) {
      for (let b = 0, p = 0, o = 0; b < blocks; b++, p += blockBytes, o += 256) {
        const d = f16ToF32(halfAt(bytes, p));
        const dmin = f16ToF32(halfAt(bytes, p + 2));
        for (let j = 0; j < 8; j++) {
          const scale = f(d * scaleAt(bytes, p + 4, j));
          const min = f(dmin * minAt(bytes, p + 4, j));
          const from = p + quants + 32 * (j >> 1);
          const shift = (j & 1) << 2;
          for (let l = 0; l < 32; l++) {
            const high = five ? ((bytes[p + 16 + l] >> j) & 1) << 4 : 0;
            out[o + 32 * j + l] = f(scale * (((bytes[from + l] >> shift) & 15) + high)) - min;
          }
        }
      }
    },
  };
}

export const q4_k = wide(false);
export const q5_k = wide(true);
