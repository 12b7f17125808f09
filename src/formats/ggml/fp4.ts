/** Four-bit floats with a block scale: MXFP4 (32 values, power of two) and NVFP4 (4 × 16 values, UE4M3). */
import type { BlockCodec } from './codec.ts';

const f = Math.fround;
/** Values of E2M1, doubled; scales are halved to match. */
export const doubled = Float32Array.of(0, 1, 2, 3, 4, 6, 8, 12, -0, -1, -2, -3, -4, -6, -8, -12);
const midpoints = Float32Array.of(0.5, 1.5, 2.5, 3.5, 5, 7, 10);
const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

const bitsOf = (v: number): number => {
  float[0] = v;
  return word[0];
};

/** Code of the nearest value; a tie goes to the smaller magnitude, zero is never negative. */
function code(v: number, scale: number): number {
  if (scale === 0) return 0;
  const a = Math.abs(v);
  let index = 0;
  while (index < 7 && a > midpoints[index] * scale) index++;
  return index > 0 && v < 0 ? index + 8 : index;
}

function amaxOf(x: Float32Array, at: number, n: number): number {
  let amax = 0;
  for (let i = at; i < at + n; i++) amax = Math.max(amax, Math.abs(x[i]));
  return amax;
}

/** Low nibbles hold the first half of the values, high nibbles the second. */
function pack(x: Float32Array, at: number, n: number, scale: number, out: Uint8Array, to: number): void {
  const half = n / 2;
  for (let i = 0; i < half; i++) out[to + i] = code(x[at + i], scale) | (code(x[at + half + i], scale) << 4);
}

function unpack(bytes: Uint8Array, p: number, n: number, scale: number, out: Float32Array, o: number): void {
  const half = n / 2;
  for (let i = 0; i < half; i++) {
    const q = bytes[p + i];
    out[o + i] = scale * doubled[q & 15];
    out[o + half + i] = scale * doubled[q >> 4];
  }
}

/** 2^(e − 128), exact. */
const powers = Float64Array.from({ length: 256 }, (_, e) => 2 ** (e - 128));

export const mxfp4: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 32, at += 32, to += 17) {
      // Exponent bits give floor(log2) exactly; 2^(e−127) maps the largest value into [4, 8).
      const e = Math.max(0, (bitsOf(amaxOf(x, at, 32)) >>> 23) - 2);
      out[to] = e;
      pack(x, at, 32, powers[e], out, to + 1);
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0; b < blocks; b++) unpack(bytes, 17 * b + 1, 32, powers[bytes[17 * b]], out, 32 * b);
  },
};

/** UE4M3 with one guard bit rounded half up; from 256 on everything is the largest code. */
function encodeUe4m3(v: number): number {
  if (!(v > 0)) return 0;
  const bits = bitsOf(v);
  const exponent = (bits >>> 23) - 120;
  if (exponent <= 0) return Math.min(7, Math.trunc(f(f(v * 512) + 0.5)));
  if (exponent >= 15) return 0x7e;
  const rounded = (exponent << 3) + ((bits >>> 20) & 7) + ((bits >>> 19) & 1);
  return rounded >= 0x78 ? 0x7e : rounded;
}

/** Half the value of a UE4M3 code; 0x7f counts as zero. */
export const ue4m3Half = Float32Array.from({ length: 256 }, (_, x) => {
  if (x === 0 || x === 0x7f) return 0;
  const exponent = (x >> 3) & 15;
  const mantissa = x & 7;
  return exponent === 0 ? mantissa * 2 ** -10 : (8 + mantissa) * 2 ** (exponent - 11);
});

export const nvfp4: BlockCodec = {
  encodeRow(x, at, cols, _importance, out, to) {
    for (let column = 0; column < cols; column += 64, at += 64, to += 36) {
      for (let s = 0; s < 4; s++) {
        const scale = encodeUe4m3(f(amaxOf(x, at + 16 * s, 16) / 6));
        out[to + s] = scale;
        pack(x, at + 16 * s, 16, ue4m3Half[scale], out, to + 4 + 8 * s);
      }
    }
  },
  decode(bytes, blocks, out) {
    for (let b = 0, p = 0; b < blocks; b++, p += 36) {
      for (let s = 0; s < 4; s++) unpack(bytes, p + 4 + 8 * s, 16, ue4m3Half[bytes[p + s]], out, 64 * b + 16 * s);
    }
  },
};
