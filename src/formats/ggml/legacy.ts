/**
 * Blocks of 32 with one scale, and for the `_1` types one minimum: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
 * Codes are chosen with the float32 scale; the half-precision scale is what is stored.
 * With importance, scales come from the searches of search.ts.
 */
import { f16ToF32, f32ToF16 } from '../../numeric/half.ts';
import { halfAt, importanceWeights, putHalf, sumOfSquares, type BlockCodec } from './codec.ts';
import { affineScale, affineTrials, signedScale } from './search.ts';

const f = Math.fround;
const codes = new Uint8Array(32);
const weights = new Float32Array(32);

/** Low nibbles hold elements 0..15, high nibbles 16..31. */
function packNibbles(out: Uint8Array, to: number): void {
  for (let j = 0; j < 16; j++) out[to + j] = (codes[j] & 15) | ((codes[j + 16] & 15) << 4);
}

/** Bit j is the fifth bit of element j. */
function packFifthBits(out: Uint8Array, to: number): void {
  for (let b = 0; b < 4; b++) {
    let byte = 0;
    for (let j = 0; j < 8; j++) byte |= (codes[8 * b + j] >> 4) << j;
    out[to + b] = byte;
  }
}

/** The element of largest magnitude, with its sign; the first of equals. */
function extreme(x: Float32Array, at: number): number {
  let amax = 0;
  let value = 0;
  for (let i = at; i < at + 32; i++) {
    const a = Math.abs(x[i]);
    if (a > amax) { amax = a; value = x[i]; }
  }
  return value;
}

function symmetric(levels: 8 | 16): BlockCodec {
  const five = levels === 16;
  const blockBytes = five ? 22 : 18;
  const quants = five ? 6 : 2;
  return {
    encodeRow(x, at, cols, importance, out, to) {
      const sigma2 = importance ? f(sumOfSquares(x, at, cols) / cols) : 0;
      for (let column = 0; column < cols; column += 32, at += 32, to += blockBytes) {
        let d: number;
        if (importance) {
          importanceWeights(x, at, importance, column, 32, sigma2, weights);
          d = signedScale(x, at, 32, levels, weights, codes, 0);
        } else {
          d = f(extreme(x, at) / -levels);
          const inverse = d === 0 ? 0 : f(1 / d);
          const shift = levels + 0.5;
          for (let j = 0; j < 32; j++) codes[j] = Math.min(2 * levels - 1, Math.trunc(f(f(x[at + j] * inverse) + shift)));
        }
        putHalf(out, to, f32ToF16(d));
        if (five) packFifthBits(out, to + 2);
        packNibbles(out, to + quants);
      }
    },
    decode(bytes, blocks, out) {
      for (let b = 0, p = 0, o = 0; b < blocks; b++, p += blockBytes, o += 32) {
        const d = f16ToF32(halfAt(bytes, p));
        const high = five ? halfAt(bytes, p + 2) | (halfAt(bytes, p + 4) << 16) : 0;
        for (let j = 0; j < 16; j++) {
          const q = bytes[p + quants + j];
          out[o + j] = ((q & 15) + (((high >>> j) & 1) << 4) - levels) * d;
          out[o + j + 16] = ((q >> 4) + (((high >>> (j + 16)) & 1) << 4) - levels) * d;
        }
      }
    },
  };
}

function affine(top: 15 | 31): BlockCodec {
  const five = top === 31;
  const blockBytes = five ? 24 : 20;
  const quants = five ? 8 : 4;
  return {
    encodeRow(x, at, cols, importance, out, to) {
      const sigma2 = importance ? f(sumOfSquares(x, at, cols) / cols) : 0;
      for (let column = 0; column < cols; column += 32, at += 32, to += blockBytes) {
        let d: number;
        let min: number;
        if (importance) {
          importanceWeights(x, at, importance, column, 32, sigma2, weights);
          const fit = affineScale(x, at, 32, top, weights, affineTrials.importance, codes, 0);
          d = fit.scale;
          min = fit.min;
        } else {
          min = x[at];
          let max = x[at];
          for (let j = 1; j < 32; j++) {
            const v = x[at + j];
            if (v < min) min = v;
            if (v > max) max = v;
          }
          d = f(f(max - min) / top);
          const inverse = d === 0 ? 0 : f(1 / d);
          for (let j = 0; j < 32; j++) codes[j] = Math.min(top, Math.trunc(f(f(f(x[at + j] - min) * inverse) + 0.5)));
        }
        putHalf(out, to, f32ToF16(d));
        putHalf(out, to + 2, f32ToF16(min));
        if (five) packFifthBits(out, to + 4);
        packNibbles(out, to + quants);
      }
    },
    decode(bytes, blocks, out) {
      for (let b = 0, p = 0, o = 0; b < blocks; b++, p += blockBytes, o += 32) {
        const d = f16ToF32(halfAt(bytes, p));
        const m = f16ToF32(halfAt(bytes, p + 2));
        const high = five ? halfAt(bytes, p + 4) | (halfAt(bytes, p + 6) << 16) : 0;
        for (let j = 0; j < 16; j++) {
          const q = bytes[p + quants + j];
          out[o + j] = f(((q & 15) + (((high >>> j) & 1) << 4)) * d) + m;
          out[o + j + 16] = f(((q >> 4) + (((high >>> (j + 16)) & 1) << 4)) * d) + m;
        }
      }
    },
  };
}

export const q4_0 = symmetric(8);
export const q5_0 = symmetric(16);
export const q4_1 = affine(15);
export const q5_1 = affine(31);

/** Nearest integer, ties away from zero. */
const away = (v: number): number => Math.trunc(v < 0 ? v - 0.5 : v + 0.5);

export const q8_0: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 32, at += 32, to += 34) {
      const d = f(Math.abs(extreme(x, at)) / 127);
      const inverse = d === 0 ? 0 : f(1 / d);
      putHalf(out, to, f32ToF16(d));
      for (let j = 0; j < 32; j++) out[to + 2 + j] = away(f(x[at + j] * inverse));
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0, o = 0; b < blocks; b++, p += 34, o += 32) {
      const d = f16ToF32(halfAt(bytes, p));
      for (let j = 0; j < 32; j++) out[o + j] = ((bytes[p + 2 + j] << 24) >> 24) * d;
    }
  },
};
