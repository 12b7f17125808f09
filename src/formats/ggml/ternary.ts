/** One and two bits: Q1_0 (sign), Q2_0, TQ1_0 and TQ2_0 (−1, 0, 1). */
import { f16ToF32, f32ToF16 } from '../../numeric/half.ts';
import { halfAt, putHalf, type BlockCodec } from './codec.ts';

const f = Math.fround;

function amaxOf(x: Float32Array, at: number, n: number): number {
  let amax = 0;
  for (let i = at; i < at + n; i++) amax = Math.max(amax, Math.abs(x[i]));
  return amax;
}

/** −1, 0 or 1 plus one: nearest multiple of the scale, ties away from zero. */
const trit = (v: number, inverse: number): number => {
  const t = f(v * inverse);
  return t >= 0.5 ? 2 : t <= -0.5 ? 0 : 1;
};

const inverseOf = (d: number): number => (d > 0 ? f(1 / d) : 0);

export const q1_0: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 128, at += 128, to += 18) {
      let sum = 0;
      for (let i = 0; i < 128; i++) sum = f(sum + Math.abs(x[at + i]));
      putHalf(out, to, f32ToF16(f(sum / 128)));
      for (let b = 0; b < 16; b++) {
        let byte = 0;
        for (let i = 0; i < 8; i++) if (x[at + 8 * b + i] >= 0) byte |= 1 << i;
        out[to + 2 + b] = byte;
      }
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0; b < blocks; b++, p += 18) {
      const d = f16ToF32(halfAt(bytes, p));
      for (let i = 0; i < 128; i++) out[128 * b + i] = (bytes[p + 2 + (i >> 3)] >> (i & 7)) & 1 ? d : -d;
    }
  },
};

export const q2_0: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 64, at += 64, to += 18) {
      const d = amaxOf(x, at, 64);
      const inverse = inverseOf(d);
      putHalf(out, to, f32ToF16(d));
      for (let b = 0; b < 16; b++) {
        let byte = 0;
        for (let k = 0; k < 4; k++) byte |= trit(x[at + 4 * b + k], inverse) << (2 * k);
        out[to + 2 + b] = byte;
      }
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0; b < blocks; b++, p += 18) {
      const d = f16ToF32(halfAt(bytes, p));
      for (let i = 0; i < 64; i++) out[64 * b + i] = (((bytes[p + 2 + (i >> 2)] >> (2 * (i & 3))) & 3) - 1) * d;
    }
  },
};

/** Runs of TQ1_0: first element, number of bytes, trits per byte, first byte. */
const runs = [[0, 32, 5, 0], [160, 16, 5, 32], [240, 4, 4, 48]] as const;
const powers = [1, 3, 9, 27, 81] as const;

export const tq1_0: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 256, at += 256, to += 54) {
      const d = amaxOf(x, at, 256);
      const inverse = inverseOf(d);
      for (const [first, bytes, trits, byte] of runs) {
        for (let m = 0; m < bytes; m++) {
          let number = 0;
          for (let n = 0; n < 5; n++) number = 3 * number + (n < trits ? trit(x[at + first + m + bytes * n], inverse) : 0);
          // A fraction of 243 as a fraction of 256, rounded up, so that multiplying by 3 shifts out one trit.
          out[to + byte + m] = Math.trunc((number * 256 + 242) / 243);
        }
      }
      putHalf(out, to + 52, f32ToF16(d));
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0; b < blocks; b++, p += 54) {
      const d = f16ToF32(halfAt(bytes, p + 52));
      for (const [first, count, trits, byte] of runs) {
        for (let n = 0; n < trits; n++) {
          for (let m = 0; m < count; m++) {
            out[256 * b + first + count * n + m] = (((((bytes[p + byte + m] * powers[n]) & 255) * 3) >> 8) - 1) * d;
          }
        }
      }
    }
  },
};

export const tq2_0: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 256, at += 256, to += 66) {
      const d = amaxOf(x, at, 256);
      const inverse = inverseOf(d);
      for (let h = 0; h < 2; h++) {
        for (let l = 0; l < 32; l++) {
          let byte = 0;
          for (let k = 0; k < 4; k++) byte |= trit(x[at + 128 * h + 32 * k + l], inverse) << (2 * k);
          out[to + 32 * h + l] = byte;
        }
      }
      putHalf(out, to + 64, f32ToF16(d));
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0; b < blocks; b++, p += 66) {
      const d = f16ToF32(halfAt(bytes, p + 64));
      for (let i = 0; i < 256; i++) {
        out[256 * b + i] = (((bytes[p + 32 * (i >> 7) + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3) - 1) * d;
      }
    }
  },
};
