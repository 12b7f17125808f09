/** What scales are stored as. Rounding to the type happens before codes are chosen, so codes fit the scale that is kept. */
import { bf16ToF32, f32ToBf16, roundToHalf } from '../numeric/half.ts';
import { decodeE8M0, decodeMiniFloat, e4m3, encodeE8M0, encodeMiniFloat, ue5m3, type MiniFloat } from './minifloat-code.ts';

export interface ScaleType {
  readonly name: 'f32' | 'f16' | 'bf16' | 'e4m3' | 'ue5m3' | 'e8m0';
  readonly bits: number;
  readonly min: number;
  readonly max: number;
  /** Nearest representable scale to a positive number: never zero, saturating at `max`. */
  round(x: number): number;
  /** Of types of one byte: the code of a scale, and the scale of a code. */
  readonly byte?: { encode(x: number): number; decode(code: number): number };
}

function scaleType(name: ScaleType['name'], bits: number, min: number, max: number, nearest: (x: number) => number): ScaleType {
  return {
    name, bits, min, max,
    round(x) {
      if (x >= max) return max;
      const rounded = nearest(x);
      return rounded > min ? rounded : min;
    },
  };
}

function byteType(name: ScaleType['name'], min: number, max: number, byte: NonNullable<ScaleType['byte']>): ScaleType {
  return { ...scaleType(name, 8, min, max, (x) => byte.decode(byte.encode(x))), byte };
}

const small = (type: MiniFloat): NonNullable<ScaleType['byte']> => ({ encode: (x) => encodeMiniFloat(x, type), decode: (code) => decodeMiniFloat(code, type) });

export const scaleTypes = {
  f32: scaleType('f32', 32, 2 ** -149, 3.4028234663852886e38, Math.fround),
  f16: scaleType('f16', 16, 2 ** -24, 65504, roundToHalf),
  bf16: scaleType('bf16', 16, 2 ** -133, 3.3895313892515355e38, (x) => bf16ToF32(f32ToBf16(x))),
  e4m3: byteType('e4m3', 2 ** -9, 448, small(e4m3)),
  ue5m3: byteType('ue5m3', 2 ** -17, 114688, small(ue5m3)),
  e8m0: byteType('e8m0', 2 ** -127, 2 ** 127, { encode: encodeE8M0, decode: decodeE8M0 }),
} as const satisfies Record<string, ScaleType>;

export type ScaleTypeName = keyof typeof scaleTypes;
