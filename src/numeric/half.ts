/**
 * IEEE half precision (1-5-10) and bfloat16 (1-8-7) as bit patterns.
 * Encoding rounds a float32 to nearest, ties to even; what is too large becomes infinity, NaN stays NaN (quiet).
 * Values given in float64 are rounded to float32 first, as every reference encoder does.
 */

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

function halfBits(u: number): number {
  const sign = (u >>> 16) & 0x8000;
  const magnitude = u & 0x7fffffff;
  if (magnitude >= 0x47800000) return magnitude > 0x7f800000 ? sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff) : sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    // Normal: rebias 127 → 15, then add half of the dropped 13 bits, one less when the kept bit is even.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  // Below 2^-25 (inclusive: a tie with even zero) everything is zero.
  if (magnitude <= 0x33000000) return sign;
  const shift = 126 - (magnitude >>> 23);
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const kept = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}

function bfloatBits(u: number): number {
  if ((u & 0x7fffffff) > 0x7f800000) return (u >>> 16) | 0x40;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

/** float32 bits of a half: a table of all 65 536, built on first use. */
let halfTable: Uint32Array | undefined;
function table(): Uint32Array {
  if (halfTable) return halfTable;
  const bits = new Uint32Array(65536);
  const view = new Float32Array(bits.buffer);
  for (let h = 0; h < 0x8000; h++) {
    const exponent = h >>> 10;
    const mantissa = h & 0x3ff;
    if (exponent === 0) view[h] = mantissa * 2 ** -24;
    else if (exponent === 31) bits[h] = 0x7f800000 | (mantissa << 13);
    else bits[h] = ((exponent + 112) << 23) | (mantissa << 13);
    bits[h + 0x8000] = bits[h] | 0x80000000;
  }
  halfTable = bits;
  return bits;
}

/** The value of a half-precision bit pattern. */
export function f16ToF32(bits: number): number {
  word[0] = table()[bits & 0xffff];
  return float[0];
}

/** The half-precision bit pattern nearest to `x`; ties to even, overflow to infinity. */
export function f32ToF16(x: number): number {
  float[0] = x;
  return halfBits(word[0]);
}

/** The value of a bfloat16 bit pattern. */
export function bf16ToF32(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}

/** The bfloat16 bit pattern nearest to `x`; ties to even, overflow to infinity. */
export function f32ToBf16(x: number): number {
  float[0] = x;
  return bfloatBits(word[0]);
}

const wordsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);

/** Values of half-precision bit patterns; `out` must have the same length and is returned. */
export function decodeF16(bits: Uint16Array, out: Float32Array = new Float32Array(bits.length)): Float32Array {
  const values = table();
  const target = wordsOf(out);
  for (let i = 0; i < bits.length; i++) target[i] = values[bits[i]];
  return out;
}

/** Half-precision bit patterns of values; `out` must have the same length and is returned. */
export function encodeF16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
  const source = wordsOf(values);
  for (let i = 0; i < source.length; i++) out[i] = halfBits(source[i]);
  return out;
}

/** A number rounded to half precision. */
export const roundToHalf = (x: number): number => f16ToF32(f32ToF16(x));

/** Values rounded to half precision. */
export const roundToF16 = (values: Float32Array): Float32Array => decodeF16(encodeF16(values));

/** Values of bfloat16 bit patterns; `out` must have the same length and is returned. */
export function decodeBf16(bits: Uint16Array, out: Float32Array = new Float32Array(bits.length)): Float32Array {
  const target = wordsOf(out);
  for (let i = 0; i < bits.length; i++) target[i] = bits[i] << 16;
  return out;
}

/** bfloat16 bit patterns of values; `out` must have the same length and is returned. */
export function encodeBf16(values: Float32Array, out: Uint16Array = new Uint16Array(values.length)): Uint16Array {
  const source = wordsOf(values);
  for (let i = 0; i < source.length; i++) out[i] = bfloatBits(source[i]);
  return out;
}
