/**
 * Floating-point codes of at most 8 bits: sign, `e` exponent bits, `m` mantissa bits, subnormals kept.
 * Encoding rounds the significand and then saturates; −0 keeps its sign bit. Sources: OCP MX v1.0 (FP4, FP6, FP8),
 * OCP OFP8 (E4M3FN, E5M2), CUDA 13.4 (UE5M3).
 */
import type { Rounding } from '../numeric/rounding.ts';
import { exponentOf, powerOfTwo } from '../numeric/elementary.ts';

export interface MiniFloat {
  /** Lower-case spelling: `e2m1`, `e4m3`, `ue5m3`. */
  readonly name: string;
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /** False for unsigned (scale only) types. */
  readonly signed: boolean;
  /** Bits of a code, sign included. */
  readonly bits: number;
  /** Code of the largest finite value; larger codes of the positive half are infinities or NaN. */
  readonly maxCode: number;
  readonly max: number;
  /** Value by code, 256 entries; NaN where no number is. */
  readonly values: Float32Array;
}

/** Code of the first special value of the two types that have any; every other type is all numbers. */
const reserved: Readonly<Record<string, number>> = { e4m3: 0x7f, e5m2: 0x7c, ue5m3: 0xff };

const made = new Map<string, MiniFloat>();

/** The type with these fields. E4M3 is the finite variant (NaN at 0x7F), E5M2 has IEEE infinities; all other signed types are finite. */
export function miniFloat(exponentBits: number, mantissaBits: number, signed = true): MiniFloat {
  const name = `${signed ? '' : 'u'}e${exponentBits}m${mantissaBits}`;
  const known = made.get(name);
  if (known !== undefined) return known;
  const bias = 2 ** (exponentBits - 1) - 1;
  const half = 2 ** (exponentBits + mantissaBits);
  const maxCode = (reserved[name] ?? half) - 1;
  const values = new Float32Array(256).fill(NaN);
  for (let code = 0; code < half; code++) {
    const exponent = code >>> mantissaBits;
    const mantissa = code & (2 ** mantissaBits - 1);
    let value = exponent === 0
      ? mantissa * powerOfTwo(1 - bias - mantissaBits)
      : (2 ** mantissaBits + mantissa) * powerOfTwo(exponent - bias - mantissaBits);
    if (code > maxCode) value = name === 'e5m2' && mantissa === 0 ? Infinity : NaN;
    values[code] = value;
    if (signed) values[code + half] = -value;
  }
  const type: MiniFloat = {
    name, exponentBits, mantissaBits, bias, signed, bits: exponentBits + mantissaBits + (signed ? 1 : 0),
    maxCode, max: values[maxCode], values,
  };
  made.set(name, type);
  return type;
}

export const e2m1 = miniFloat(2, 1);
export const e2m3 = miniFloat(2, 3);
export const e3m2 = miniFloat(3, 2);
export const e4m3 = miniFloat(4, 3);
export const e5m2 = miniFloat(5, 2);
export const ue5m3 = miniFloat(5, 3, false);

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** Constants of the encoder that work on float32 bits. */
function encoderOf(type: MiniFloat) {
  const { mantissaBits: m, bias } = type;
  return {
    shift: 23 - m,
    rebias: (127 - bias) << m,
    /** Bits of the smallest normal. */
    minNormal: (128 - bias) << 23,
    /** Multiplies a subnormal to units of the smallest subnormal. */
    unit: powerOfTwo(m + bias - 1),
    sign: type.signed ? 1 << (type.bits - 1) : 0,
  };
}
type Encoder = ReturnType<typeof encoderOf>;
const encoders = new Map<MiniFloat, Encoder>();
function encoder(type: MiniFloat): Encoder {
  let found = encoders.get(type);
  if (found === undefined) encoders.set(type, (found = encoderOf(type)));
  return found;
}

function codeOfBits(u: number, even: boolean, maxCode: number, k: Encoder): number {
  const sign = u & 0x80000000 ? k.sign : 0;
  const magnitude = u & 0x7fffffff;
  let code: number;
  if (magnitude >= k.minNormal) {
    const half = 1 << (k.shift - 1);
    // Without mantissa bits a tie lies between significands 1 and 2, of which 2 is even.
    const tie = even && k.shift < 23 ? half - 1 + ((magnitude >>> k.shift) & 1) : half;
    code = ((magnitude + tie) >>> k.shift) - k.rebias;
  } else {
    word[0] = magnitude;
    const units = float[0] * k.unit;
    // 1.5·2^52 rounds to nearest even; half-up on a magnitude is half away from zero.
    code = even ? units + 6755399441055744 - 6755399441055744 : Math.floor(units + 0.5);
  }
  return (code > maxCode ? maxCode : code) | sign;
}

/** Code nearest to `x` (rounded to float32 first), saturating at the largest finite value; NaN is not a number to encode. */
export function encodeMiniFloat(x: number, type: MiniFloat, rounding: Rounding = 'rne'): number {
  if (x > type.max) return type.maxCode;
  if (!type.signed && !(x > 0)) return 0;
  float[0] = x;
  return codeOfBits(word[0], rounding === 'rne', type.maxCode, encoder(type));
}

/** Value of a code. */
export const decodeMiniFloat = (code: number, type: MiniFloat): number => type.values[code & 0xff];

/** Distance between the numbers of the type around `x`: of its binade, of the subnormals below the first; `x` within ±max. */
export function stepAround(x: number, { bias, mantissaBits }: MiniFloat): number {
  const size = Math.abs(x);
  return powerOfTwo((size < powerOfTwo(1 - bias) ? 1 - bias : exponentOf(size)) - mantissaBits);
}

/** Codes of `values[i] / scale`, float32 division, written to `codes` from `at` on. */
export function encodeMiniFloats(
  values: Float32Array, begin: number, end: number, scale: number, type: MiniFloat, rounding: Rounding,
  codes: Uint8Array | Int8Array, at: number,
): void {
  const k = encoder(type);
  const even = rounding === 'rne';
  const { maxCode } = type;
  for (let i = begin; i < end; i++) {
    float[0] = values[i] / scale;
    codes[at++] = codeOfBits(word[0], even, maxCode, k);
  }
}

/** E8M0: the power of two 2^(code − 127), codes 0..254; there is no zero, 255 is NaN. Nearest power, ties upward. */
export function encodeE8M0(x: number): number {
  if (!(x > 5.877471754111438e-39)) return 0;
  const exponent = exponentOf(x);
  const low = powerOfTwo(exponent);
  const significand = x / low;
  let code = exponent + 127;
  if (significand >= 1.5) code++;
  return Math.min(254, Math.max(0, code));
}

/** Value of an E8M0 code; NaN for 255. */
export const decodeE8M0 = (code: number): number => (code === 255 ? NaN : powerOfTwo(code - 127));
