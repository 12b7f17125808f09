/**
 * Groups of values in one to two bits, as caches of keys and values hold them (KIVI, arXiv:2402.02750; VidKV,
 * arXiv:2503.16257): codes, and one or two numbers in half precision.
 */
import { roundToHalf } from '../numeric/half.ts';
import { rne } from '../numeric/rounding.ts';

export interface CodedGroup {
  /** Digits below `base`. */
  readonly codes: Uint8Array;
  /** Scale, or scale and minimum. */
  readonly numbers: readonly number[];
}

export interface GroupFormat {
  readonly name: string;
  /** How many codes there are. */
  readonly base: 2 | 3 | 4;
  /** Numbers a group stores. */
  readonly numbers: 1 | 2;
  /** `stored` rounds the numbers as they are stored. */
  encode(x: ArrayLike<number>, stored?: (x: number) => number): CodedGroup;
  decode(group: CodedGroup): Float64Array;
}

const meanMagnitude = (x: ArrayLike<number>): number => Array.from(x).reduce((sum, v) => sum + Math.abs(v), 0) / x.length;

/** ± the mean magnitude; zero is positive. */
export const signs: GroupFormat = {
  name: 'sign', base: 2, numbers: 1,
  encode: (x, stored = roundToHalf) => ({ codes: Uint8Array.from(x, (v) => (v >= 0 ? 1 : 0)), numbers: [stored(meanMagnitude(x))] }),
  decode: ({ codes, numbers: [alpha] }) => Float64Array.from(codes, (code) => (code === 1 ? alpha : -alpha)),
};

/** −1, 0 or 1 times the mean magnitude: 0 where a value is at most half of it. */
export const ternary: GroupFormat = {
  name: 'ternary', base: 3, numbers: 1,
  encode(x, stored = roundToHalf) {
    const alpha = meanMagnitude(x);
    return { codes: Uint8Array.from(x, (v) => (v > alpha / 2 ? 2 : v < -alpha / 2 ? 0 : 1)), numbers: [stored(alpha)] };
  },
  decode: ({ codes, numbers: [alpha] }) => Float64Array.from(codes, (code) => (code - 1) * alpha),
};

/** Equal steps from the minimum to the maximum; a constant group is its minimum. */
const steps = (name: string, base: 2 | 4): GroupFormat => ({
  name, base, numbers: 2,
  encode(x, stored = roundToHalf) {
    const values = Array.from(x);
    const low = Math.min(...values);
    const [scale, minimum] = [stored((Math.max(...values) - low) / (base - 1)), stored(low)];
    return { codes: Uint8Array.from(x, (v) => (scale > 0 ? rne(Math.min(Math.max((v - minimum) / scale, 0), base - 1)) : 0)), numbers: [scale, minimum] };
  },
  decode: ({ codes, numbers: [scale, minimum] }) => Float64Array.from(codes, (code) => code * scale + minimum),
});

export const twoBits = steps('2 bits', 4);
/** One bit that is the minimum or the maximum. */
export const ends = steps('minimum or maximum', 2);

/** Codes in a byte: eight bits, five trits (3⁵ = 243), or four pairs of bits. */
const perByte = { 2: 8, 3: 5, 4: 4 } as const;

export const packedBytes = (count: number, base: GroupFormat['base']): number => Math.ceil(count / perByte[base]);

/** Codes as digits of bytes, the first lowest. */
export function packCodes(codes: Uint8Array, base: GroupFormat['base']): Uint8Array {
  const bytes = new Uint8Array(packedBytes(codes.length, base));
  codes.forEach((code, i) => { bytes[Math.floor(i / perByte[base])] += code * base ** (i % perByte[base]); });
  return bytes;
}

export const unpackCodes = (bytes: Uint8Array, base: GroupFormat['base'], count: number): Uint8Array =>
  Uint8Array.from({ length: count }, (_, i) => Math.floor(bytes[Math.floor(i / perByte[base])] / base ** (i % perByte[base])) % base);
