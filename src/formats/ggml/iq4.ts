/**
 * Sixteen unevenly spaced levels: IQ4_NL (32 values, one scale) and IQ4_XS (256 values in 8 sub-blocks,
 * 6-bit scales). Scales are searched as in the reference: d = Σwqx/Σwq² of the codes under 16 inverse scales.
 */
import { f16ToF32, f32ToF16 } from '../../numeric/half.ts';
import { halfAt, importanceWeights, nearest, putHalf, sumOfSquares, type BlockCodec } from './codec.ts';
import { tiny } from './search.ts';

const f = Math.fround;

/** The levels; a code is an index. */
export const iq4Levels: readonly number[] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const levels = Float32Array.from(iq4Levels);
/** Midpoints of neighbours; a midpoint itself belongs to the upper level. */
const midpoints = levels.subarray(1).map((level, i) => (level + levels[i]) / 2);
const weights = new Float32Array(32);
const scales = new Float32Array(8);
const codes = new Uint8Array(32);

function nearestLevel(v: number): number {
  let code = 0;
  for (let step = 8; step > 0; step >>= 1) if (v >= midpoints[code + step - 1]) code += step;
  return code;
}

/** Half-way results of one inverse scale. */
let sumqx = 0;
let sumq2 = 0;
function tryInverse(x: Float32Array, at: number, inverse: number): void {
  sumqx = 0;
  sumq2 = 0;
  for (let i = 0; i < 32; i++) {
    const v = x[at + i];
    const q = levels[nearestLevel(f(inverse * v))];
    const wq = f(weights[i] * q);
    sumqx = f(sumqx + f(wq * v));
    sumq2 = f(sumq2 + f(wq * q));
  }
}

/** Best scale of 32 values under `weights`; zero for a group that counts as zero. */
function search(x: Float32Array, at: number): number {
  let amax = 0;
  let max = 0;
  for (let i = at; i < at + 32; i++) {
    const a = Math.abs(x[i]);
    if (a > amax) { amax = a; max = x[i]; }
  }
  if (amax < tiny) return 0;
  tryInverse(x, at, f(1 / f(max / 127)));
  let d = sumq2 > 0 ? f(sumqx / sumq2) : 0;
  let best = f(d * sumqx);
  for (let t = -7; t <= 7; t++) {
    tryInverse(x, at, f((t - 127) / max));
    if (sumq2 > 0 && f(sumqx * sumqx) > f(best * sumq2)) {
      d = f(sumqx / sumq2);
      best = f(d * sumqx);
    }
  }
  return d;
}

function fillWeights(x: Float32Array, at: number, importance: Float32Array | undefined, column: number, sigma2: number): void {
  if (importance) importanceWeights(x, at, importance, column, 32, sigma2, weights);
  else for (let i = 0; i < 32; i++) weights[i] = x[at + i] * x[at + i];
}

function pack(x: Float32Array, at: number, inverse: number, out: Uint8Array, to: number): void {
  for (let i = 0; i < 32; i++) codes[i] = nearestLevel(f(inverse * x[at + i]));
  for (let i = 0; i < 16; i++) out[to + i] = codes[i] | (codes[i + 16] << 4);
}

const unpack = (bytes: Uint8Array, p: number, scale: number, out: Float32Array, o: number): void => {
  for (let i = 0; i < 16; i++) {
    const q = bytes[p + i];
    out[o + i] = scale * levels[q & 15];
    out[o + i + 16] = scale * levels[q >> 4];
  }
};

export const iq4_nl: BlockCodec = {
  encodeRow(x, at, cols, importance, out, to) {
    for (let column = 0; column < cols; column += 32, at += 32, to += 18) {
      fillWeights(x, at, importance, column, importance ? f(sumOfSquares(x, at, 32) * 0.0625) : 0);
      const d = search(x, at);
      putHalf(out, to, f32ToF16(d));
      pack(x, at, d === 0 ? 0 : f(1 / d), out, to + 2);
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0; b < blocks; b++) unpack(bytes, 18 * b + 2, f16ToF32(halfAt(bytes, 18 * b)), out, 32 * b);
  },
};

export const iq4_xs: BlockCodec = {
  encodeRow(x, at, cols, importance, out, to) {
    for (let column = 0; column < cols; column += 256, at += 256, to += 136) {
      const sigma2 = importance ? f(sumOfSquares(x, at, 256) * 0.0078125) : 0;
      let max = 0;
      for (let j = 0; j < 8; j++) {
        fillWeights(x, at + 32 * j, importance, column + 32 * j, sigma2);
        scales[j] = search(x, at + 32 * j);
        if (Math.abs(scales[j]) > Math.abs(max)) max = scales[j];
      }
      const d = f(-max / 32);
      const inverse = d === 0 ? 0 : f(1 / d);
      putHalf(out, to, f32ToF16(d));
      let high = 0;
      out.fill(0, to + 4, to + 8);
      for (let j = 0; j < 8; j++) {
        const scale = nearest(f(inverse * scales[j]), -32, 31);
        const step = f(d * scale);
        pack(x, at + 32 * j, step === 0 ? 0 : f(1 / step), out, to + 8 + 16 * j);
        out[to + 4 + (j >> 1)] |= ((scale + 32) & 15) << (4 * (j & 1));
        high |= ((scale + 32) >> 4) << (2 * j);
      }
      putHalf(out, to + 2, high);
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0; b < blocks; b++, p += 136) {
      const d = f16ToF32(halfAt(bytes, p));
      const high = halfAt(bytes, p + 2);
      for (let j = 0; j < 8; j++) {
        const scale = ((bytes[p + 4 + (j >> 1)] >> (4 * (j & 1))) & 15) | (((high >> (2 * j)) & 3) << 4);
        unpack(bytes, p + 8 + 16 * j, f(d * (scale - 32)), out, 256 * b + 32 * j);
      }
    }
  },
};
