/**
 * ggml blocks as integer codes, scales and minima, value = scale · code − minimum, codes of `four` less 8: what products
 * in integers need, where the codecs give values. Types without a row here are multiplied as floats.
 */
import { halfAt } from '../formats/ggml/codec.ts';
import { f16ToF32 } from '../numeric/half.ts';
import type { BlockType } from '../tensor-ref.ts';

/** How a matrix lies in memory (kernels/lowbit): by width of codes, and where scales are. */
export type Layout = 'four' | 'four-minima' | 'eight' | 'eight-minima' | 'eight-halves' | 'float';

export interface Unpacker {
  readonly layout: Exclude<Layout, 'float'>;
  /** Codes of one block to `codes`, scales (and minima) of its groups, or halves of groups, to the others. */
  unpack(bytes: Uint8Array, at: number, codes: Int8Array, scales: Float32Array, mins: Float32Array): void;
}

const f = Math.fround;
export const half = (bytes: Uint8Array, at: number): number => f16ToF32(halfAt(bytes, at));

/** Nibbles of `count` bytes: low ones are the first columns. */
export function nibbles(bytes: Uint8Array, at: number, count: number, codes: Int8Array | Uint8Array, to: number): void {
  for (let i = 0; i < count; i++) {
    codes[to + i] = bytes[at + i] & 15;
    codes[to + count + i] = bytes[at + i] >> 4;
  }
}

/** A fifth bit for each of 32 codes. */
function fifthBits(bytes: Uint8Array, at: number, codes: Int8Array): void {
  for (let i = 0; i < 32; i++) codes[i] |= ((bytes[at + (i >> 3)] >> (i & 7)) & 1) << 4;
}

const scaleAt = (bytes: Uint8Array, p: number, j: number): number => (j < 4 ? bytes[p + j] & 63 : (bytes[p + j + 4] & 15) | ((bytes[p + j - 4] >> 6) << 4));
const minAt = (bytes: Uint8Array, p: number, j: number): number => (j < 4 ? bytes[p + j + 4] & 63 : (bytes[p + j + 4] >> 4) | ((bytes[p + j] >> 6) << 4));

/** Q4_K and Q5_K: eight groups of 32 in a block of 256. */
const wide = (five: boolean): Unpacker => ({
  layout: five ? 'eight-minima' : 'four-minima',
  unpack(bytes, at, codes, scales, mins) {
    const [d, dmin] = [half(bytes, at), half(bytes, at + 2)];
    for (let j = 0; j < 8; j++) {
      scales[j] = f(d * scaleAt(bytes, at + 4, j));
      mins[j] = f(dmin * minAt(bytes, at + 4, j));
      const from = at + (five ? 48 : 16) + 32 * (j >> 1);
      for (let i = 0; i < 32; i++) {
        const code = (bytes[from + i] >> (4 * (j & 1))) & 15;
        codes[32 * j + i] = five ? code | (((bytes[at + 16 + i] >> j) & 1) << 4) : code;
      }
    }
  },
});

export const unpackers: Partial<Record<BlockType, Unpacker>> = {
  q4_0: {
    layout: 'four',
    unpack(bytes, at, codes, scales) {
      scales[0] = half(bytes, at);
      nibbles(bytes, at + 2, 16, codes, 0);
    },
  },
  q4_1: {
    layout: 'four-minima',
    unpack(bytes, at, codes, scales, mins) {
      scales[0] = half(bytes, at);
      mins[0] = -half(bytes, at + 2);
      nibbles(bytes, at + 4, 16, codes, 0);
    },
  },
  q5_0: {
    layout: 'eight',
    unpack(bytes, at, codes, scales) {
      scales[0] = half(bytes, at);
      nibbles(bytes, at + 6, 16, codes, 0);
      fifthBits(bytes, at + 2, codes);
      for (let i = 0; i < 32; i++) codes[i] -= 16;
    },
  },
  q5_1: {
    layout: 'eight-minima',
    unpack(bytes, at, codes, scales, mins) {
      scales[0] = half(bytes, at);
      mins[0] = -half(bytes, at + 2);
      nibbles(bytes, at + 8, 16, codes, 0);
      fifthBits(bytes, at + 4, codes);
    },
  },
  q8_0: {
    layout: 'eight',
    unpack(bytes, at, codes, scales) {
      scales[0] = half(bytes, at);
      for (let i = 0; i < 32; i++) codes[i] = bytes[at + 2 + i];
    },
  },
  q4_k: wide(false),
  q5_k: wide(true),
  q6_k: {
    layout: 'eight-halves',
    unpack(bytes, at, codes, scales) {
      const d = half(bytes, at + 208);
      for (let j = 0; j < 16; j++) {
        scales[j] = f(d * ((bytes[at + 192 + j] << 24) >> 24));
        const k = (j >> 1) & 3;
        const low = at + 64 * (j >> 3) + 32 * (k & 1) + 16 * (j & 1);
        const high = at + 128 + 32 * (j >> 3) + 16 * (j & 1);
        for (let i = 0; i < 16; i++) {
          codes[16 * j + i] = (((bytes[low + i] >> (4 * (k >> 1))) & 15) | (((bytes[high + i] >> (2 * k)) & 3) << 4)) - 32;
        }
      }
    },
  },
};
