/**
 * Codes of 1 to 8 bits in bytes, first code in the lowest bits, codes running across byte borders where the width does
 * not divide 8: ONNX sub-byte `raw_data` (2 and 4 bits), FP4 pairs, and FP6 as 4 codes in 3 bytes.
 */
import { defineErrors } from '../../errors.ts';

export const errors = defineErrors('packing', {
  divisible: (f: { layout: string; what: string; size: number; by: number }) =>
    [`${f.layout} needs ${f.what} divisible by ${f.by}, got ${f.size}`, 'choose another target or format for this tensor'],
  bits: (f: { layout: string; bits: number; known: string }) => `${f.layout} holds codes of ${f.known} bits, not ${f.bits}`,
  length: (f: { layout: string; got: number; expected: number }) => `${f.layout}: ${f.got} elements where ${f.expected} belong`,
  groups: (f: { format: string; scaleRows: number; scaleCols: number; rows: number; groups: number }) =>
    `${f.format}: scales [${f.scaleRows}, ${f.scaleCols}] do not spread over ${f.rows} rows of ${f.groups} groups`,
  zeroPointZero: (f: { index: number }) =>
    [`gptq v1 stores zero points less one and cannot hold the 0 at index ${f.index}`, 'write checkpoint_format gptq_v2'],
});

export function checkLength(layout: string, got: number, expected: number): void {
  if (got !== expected) throw errors.length({ layout, got, expected });
}

/** Bytes of `count` codes. */
export const packedLength = (count: number, bits: number): number => Math.ceil((count * bits) / 8);

/** Packs the low `bits` bits of each code; the tail of the last byte is zero. */
export function packLowFirst(
  codes: ArrayLike<number>, bits: number, out: Uint8Array = new Uint8Array(packedLength(codes.length, bits)), at = 0,
): Uint8Array {
  const n = codes.length;
  if (bits === 8) {
    out.set(codes, at);
    return out;
  }
  if (bits === 4) {
    const pairs = n >>> 1;
    for (let i = 0; i < pairs; i++) out[at + i] = (codes[2 * i] & 15) | (codes[2 * i + 1] << 4);
    if (n & 1) out[at + pairs] = codes[n - 1] & 15;
    return out;
  }
  const mask = (1 << bits) - 1;
  let held = 0;
  let count = 0;
  for (let i = 0; i < n; i++) {
    held |= (codes[i] & mask) << count;
    count += bits;
    if (count >= 8) {
      out[at++] = held;
      held >>>= 8;
      count -= 8;
    }
  }
  if (count > 0) out[at] = held;
  return out;
}

/** The first `count` codes of packed bytes as unsigned numbers. */
export function unpackLowFirst(bytes: Uint8Array, count: number, bits: number, at = 0, out: Uint8Array = new Uint8Array(count)): Uint8Array {
  const mask = (1 << bits) - 1;
  for (let i = 0, bit = 0; i < count; i++, bit += bits) {
    const byte = at + (bit >>> 3);
    const shift = bit & 7;
    let code = bytes[byte] >>> shift;
    if (shift + bits > 8) code |= bytes[byte + 1] << (8 - shift);
    out[i] = code & mask;
  }
  return out;
}

/** As `unpackLowFirst`, reading codes as two's complement. */
export function unpackSignedLowFirst(bytes: Uint8Array, count: number, bits: number): Int8Array {
  return signExtend(unpackLowFirst(bytes, count, bits), bits);
}

/** Unsigned codes of `bits` bits read as two's complement. */
export function signExtend(codes: Uint8Array, bits: number): Int8Array {
  const shift = 32 - bits;
  const out = new Int8Array(codes.length);
  for (let i = 0; i < codes.length; i++) out[i] = (codes[i] << shift) >> shift;
  return out;
}

/** Pairs of 4-bit codes, the first in the high nibble (bitsandbytes, MatMulBnb4); an odd tail is padded with zero. */
export function packHighFirst(codes: ArrayLike<number>): Uint8Array {
  const out = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < codes.length; i++) out[i >>> 1] |= (codes[i] & 15) << (i & 1 ? 0 : 4);
  return out;
}

/** The inverse of `packHighFirst`. */
export function unpackHighFirst(bytes: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++) out[i] = i & 1 ? bytes[i >>> 1] & 15 : bytes[i >>> 1] >>> 4;
  return out;
}
