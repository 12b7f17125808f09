/**
 * Super-blocks of 256 in 16 sub-blocks with a signed scale each: Q3_K (6-bit scales) and Q6_K (8-bit scales).
 * x ≈ d·scale·(code − offset). Codes are chosen again with the stored scales; a sub-block whose stored scale
 * is zero gets zero codes.
 */
import { f16ToF32, f32ToF16 } from '../../numeric/half.ts';
import { halfAt, importanceWeights, nearest, putHalf, sumOfSquares, type BlockCodec } from './codec.ts';
import { descendedScale, signedScale, tiny } from './search.ts';

const f = Math.fround;
const codes = new Uint8Array(256);
const weights = new Float32Array(16);
const scales = new Float32Array(16);
const sums = new Float32Array(16);
const scaleCodes = new Uint8Array(16);

/** The scale of largest magnitude, with its sign; the first of equals. */
function extremeScale(): number {
  let value = 0;
  for (const scale of scales) if (Math.abs(scale) > Math.abs(value)) value = scale;
  return value;
}

function recode(x: Float32Array, at: number, j: number, scale: number, levels: number): void {
  if (scale === 0) {
    codes.fill(0, 16 * j, 16 * (j + 1));
    return;
  }
  for (let i = 16 * j; i < 16 * (j + 1); i++) codes[i] = nearest(f(x[at + i] / scale), -levels, levels - 1) + levels;
}

export const q3_k: BlockCodec = {
  encodeRow(x, at, cols, importance, out, to) {
    for (let column = 0; column < cols; column += 256, at += 256, to += 110) {
      let d = 0;
      scaleCodes.fill(0);
      if (importance) {
        const sigma2 = f(f(2 * sumOfSquares(x, at, 256)) / 256);
        for (let j = 0; j < 16; j++) {
          importanceWeights(x, at + 16 * j, importance, column + 16 * j, 16, sigma2, weights);
          let sum = 0;
          for (let i = 0; i < 16; i++) sum = f(sum + weights[i]);
          sums[j] = sum;
          scales[j] = signedScale(x, at + 16 * j, 16, 4, weights, codes, 16 * j);
        }
        d = f32ToF16(signedScale(scales, 0, 16, 32, sums, scaleCodes, 0));
      } else {
        for (let j = 0; j < 16; j++) scales[j] = descendedScale(x, at + 16 * j, 16);
        const max = extremeScale();
        if (max !== 0) {
          const inverse = f(-32 / max);
          for (let j = 0; j < 16; j++) scaleCodes[j] = nearest(f(inverse * scales[j]), -32, 31) + 32;
          d = f32ToF16(f(1 / inverse));
        }
      }
      const step = f16ToF32(d);
      for (let j = 0; j < 16; j++) recode(x, at, j, f(step * (scaleCodes[j] - 32)), 4);
      for (let l = 0; l < 32; l++) {
        let byte = 0;
        for (let k = 0; k < 8; k++) byte |= (codes[32 * k + l] >> 2) << k;
        out[to + l] = byte;
      }
      for (let h = 0; h < 2; h++) {
        for (let l = 0; l < 32; l++) {
          let byte = 0;
          for (let k = 0; k < 4; k++) byte |= (codes[128 * h + 32 * k + l] & 3) << (2 * k);
          out[to + 32 + 32 * h + l] = byte;
        }
      }
      for (let j = 0; j < 8; j++) out[to + 96 + j] = (scaleCodes[j] & 15) | ((scaleCodes[j + 8] & 15) << 4);
      for (let j = 0; j < 4; j++) {
        let byte = 0;
        for (let k = 0; k < 4; k++) byte |= (scaleCodes[j + 4 * k] >> 4) << (2 * k);
        out[to + 104 + j] = byte;
      }
      putHalf(out, to + 108, d);
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0, o = 0; b < blocks; b++, p += 110, o += 256) {
      const d = f16ToF32(halfAt(bytes, p + 108));
      for (let j = 0; j < 16; j++) {
        const low = (bytes[p + 96 + (j & 7)] >> (j & 8 ? 4 : 0)) & 15;
        const high = (bytes[p + 104 + (j & 3)] >> (2 * (j >> 2))) & 3;
        const scale = f(d * ((low | (high << 4)) - 32));
        const mask = p + 16 * (j & 1);
        const from = p + 32 + 32 * (j >> 3) + 16 * (j & 1);
        const shift = j & 6;
        const bit = j >> 1;
        for (let i = 0; i < 16; i++) {
          const q = ((bytes[from + i] >> shift) & 3) + (((bytes[mask + i] >> bit) & 1) << 2);
          out[o + 16 * j + i] = scale * (q - 4);
        }
      }
    }
  },
};

export const q6_k: BlockCodec = {
  encodeRow(x, at, cols, importance, out, to) {
    for (let column = 0; column < cols; column += 256, at += 256, to += 210) {
      for (let j = 0; j < 16; j++) scales[j] = signedScale(x, at + 16 * j, 16, 32, importance, codes, 16 * j, column + 16 * j);
      const max = extremeScale();
      if (Math.abs(max) < tiny) {
        out.fill(0, to, to + 210);
        continue;
      }
      const inverse = f(-128 / max);
      const d = f32ToF16(f(1 / inverse));
      const step = f16ToF32(d);
      for (let j = 0; j < 16; j++) {
        const scale = nearest(f(inverse * scales[j]), -128, 127);
        out[to + 192 + j] = scale;
        recode(x, at, j, f(step * scale), 32);
      }
      for (let h = 0; h < 2; h++) {
        for (let l = 0; l < 32; l++) {
          const e = 128 * h + l;
          const [a, b, c, e4] = [codes[e], codes[e + 32], codes[e + 64], codes[e + 96]];
          out[to + 64 * h + l] = (a & 15) | ((c & 15) << 4);
          out[to + 64 * h + 32 + l] = (b & 15) | ((e4 & 15) << 4);
          out[to + 128 + 32 * h + l] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((e4 >> 4) << 6);
        }
      }
      putHalf(out, to + 208, d);
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0, o = 0; b < blocks; b++, p += 210, o += 256) {
      const d = f16ToF32(halfAt(bytes, p + 208));
      for (let j = 0; j < 16; j++) {
        const scale = f(d * ((bytes[p + 192 + j] << 24) >> 24));
        const k = (j >> 1) & 3;
        const low = p + 64 * (j >> 3) + 32 * (k & 1) + 16 * (j & 1);
        const high = p + 128 + 32 * (j >> 3) + 16 * (j & 1);
        const lowShift = (k >> 1) << 2;
        const highShift = 2 * k;
        for (let i = 0; i < 16; i++) {
          const q = ((bytes[low + i] >> lowShift) & 15) | (((bytes[high + i] >> highShift) & 3) << 4);
          out[o + 16 * j + i] = scale * (q - 32);
        }
      }
    }
  },
};
