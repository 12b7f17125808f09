/**
 * compressed-tensors. `pack-quantized`: `weight_packed` I32 [N, ⌈K/p⌉] with p = ⌊32/b⌋ codes a word, low bits first, the
 * code being the signed one plus 2^(b−1) (no code crosses words, unlike GPTQ); zero points the same along dimension 0,
 * [⌈N/p⌉, groups]. `nvfp4-pack-quantized` and `mxfp4-pack-quantized`: U8 pairs low first, scale bytes per block.
 */
import type { Quantized } from '../format.ts';
import { e4m3, encodeE8M0, encodeMiniFloat, decodeE8M0 } from '../minifloat-code.ts';
import { checkLength, errors, packLowFirst, unpackLowFirst } from './bits.ts';

const perWord = (bits: number): number => {
  if (!(bits >= 1 && bits <= 8)) throw errors.bits({ layout: 'pack-quantized', bits, known: '1 to 8' });
  return Math.floor(32 / bits);
};

/** Packs each of `lines` lines of `length` codes; element i of a line lies at line·lineStride + i·stride, words likewise. */
function pack(codes: Uint8Array, lines: number, length: number, bits: number, along: 'rows' | 'cols'): Int32Array {
  const p = perWord(bits);
  const words = Math.ceil(length / p);
  const mask = (1 << bits) - 1;
  const out = new Int32Array(lines * words);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < length; i++) {
      const code = codes[along === 'cols' ? line * length + i : i * lines + line] & mask;
      const word = Math.floor(i / p);
      out[along === 'cols' ? line * words + word : word * lines + line] |= code << (bits * (i % p));
    }
  }
  return out;
}

function unpack(packed: Int32Array, lines: number, length: number, bits: number, along: 'rows' | 'cols'): Uint8Array {
  const p = perWord(bits);
  const words = Math.ceil(length / p);
  checkLength('pack-quantized words', packed.length, lines * words);
  const mask = (1 << bits) - 1;
  const out = new Uint8Array(lines * length);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < length; i++) {
      const word = Math.floor(i / p);
      const code = packed[along === 'cols' ? line * words + word : word * lines + line] >>> (bits * (i % p));
      out[along === 'cols' ? line * length + i : i * lines + line] = code & mask;
    }
  }
  return out;
}

/** `weight_packed` of unsigned codes [N, K] (signed codes plus 2^(bits−1)). */
export function packQuantized(codes: Uint8Array, N: number, K: number, bits: number): Int32Array {
  checkLength('pack-quantized codes', codes.length, N * K);
  return pack(codes, N, K, bits, 'cols');
}

/** Unsigned codes [N, K] of `weight_packed`. */
export const unpackQuantized = (packed: Int32Array, N: number, K: number, bits: number): Uint8Array => unpack(packed, N, K, bits, 'cols');

/** Packed `weight_zero_point` [⌈N/p⌉, groups] of unsigned zero points [N, groups]. */
export function packQuantizedZeros(zeros: Uint8Array, N: number, groups: number, bits: number): Int32Array {
  checkLength('pack-quantized zero points', zeros.length, N * groups);
  return pack(zeros, groups, N, bits, 'rows');
}

/** The inverse of `packQuantizedZeros`. */
export const unpackQuantizedZeros = (packed: Int32Array, N: number, groups: number, bits: number): Uint8Array =>
  unpack(packed, groups, N, bits, 'rows');

/** `weight_packed` U8 [N, K/2] of FP4 codes; NVFP4, MXFP4 and ModelOpt alike. */
export function packFp4(codes: Uint8Array, cols: number): Uint8Array {
  if (cols % 2 !== 0) throw errors.divisible({ layout: 'packed fp4', what: 'input width', size: cols, by: 2 });
  return packLowFirst(codes, 4);
}

/** FP4 codes of `weight_packed`. */
export const unpackFp4 = (packed: Uint8Array): Uint8Array => unpackLowFirst(packed, packed.length * 2, 4);

/** Scales as E4M3 bytes (`weight_scale` of NVFP4); exact for scales that are E4M3 values. */
export const scalesToE4M3 = (scales: Float32Array): Uint8Array => Uint8Array.from(scales, (s) => encodeMiniFloat(s, e4m3));
export const scalesFromE4M3 = (bytes: Uint8Array): Float32Array => Float32Array.from(bytes, (b) => e4m3.values[b]);

/** Scales as E8M0 bytes (`weight_scale` of MXFP4); exact for powers of two. */
export const scalesToE8M0 = (scales: Float32Array): Uint8Array => Uint8Array.from(scales, encodeE8M0);
export const scalesFromE8M0 = (bytes: Uint8Array): Float32Array => Float32Array.from(bytes, decodeE8M0);

/**
 * NVFP4's second-level scale in its two conventions: compressed-tensors divides by `weight_global_scale` = 1/g,
 * ModelOpt multiplies with `weight_scale_2` = g.
 */
export function nvfp4GlobalScales({ tensorScale = 1 }: Pick<Quantized, 'tensorScale'>): { weight_global_scale: number; weight_scale_2: number } {
  return { weight_global_scale: Math.fround(1 / tensorScale), weight_scale_2: tensorScale };
}
