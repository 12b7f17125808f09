/** What an element type does to a double: integers wrap, casts round and saturate, narrow floats have a grid. */
import { defineErrors } from '../../errors.ts';
import { elementCount, elementTypes, isBlockType, type ElementType, type TensorRef } from '../../tensor-ref.ts';
import { decodeE8M0, decodeMiniFloat, e2m1, e4m3, e5m2, encodeE8M0, encodeMiniFloat, type MiniFloat } from '../../formats/minifloat-code.ts';
import { signExtend, unpackLowFirst } from '../../formats/packing/bits.ts';
import { isNumberType, readNumbers } from '../../graph/values.ts';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../numeric/half.ts';
import { rne } from '../../numeric/rounding.ts';
import { valueOf, type Value64 } from './value.ts';

const errors = defineErrors('interpreter', {
  blocks: (f: { name: string; type: string }) => `tensor ${f.name}: the interpreter reads plain elements, not blocks of type ${f.type}`,
});

const miniFloats: Partial<Record<ElementType, MiniFloat>> = { f8_e4m3: e4m3, f8_e5m2: e5m2, f4_e2m1: e2m1 };

/** True for the signed and unsigned integer types; bool is none of them. */
export const isInteger = (type: ElementType): boolean => /^[iu]\d/.test(type);

/** Smallest and largest value of an integer type; the largest of 64 bits is the double above it. */
export function integerRange(type: ElementType): readonly [min: number, max: number] {
  const { bits } = elementTypes[type];
  if (type.startsWith('u')) return [0, bits === 64 ? 2 ** 64 : 2 ** bits - 1];
  return [-(2 ** (bits - 1)), bits === 64 ? 2 ** 63 : 2 ** (bits - 1) - 1];
}

/** An exact integer reduced to a type as two's complement does. */
export const wrapBig = (type: ElementType, x: bigint): number => {
  const { bits } = elementTypes[type];
  return Number(type.startsWith('u') ? BigInt.asUintN(bits, x) : BigInt.asIntN(bits, x));
};

/** The result of an operator as its type keeps it: integers are truncated and wrap around, bool is 0 or 1, floats stay doubles. */
export function fit(type: ElementType, x: number): number {
  if (type === 'bool') return x === 0 ? 0 : 1;
  if (!isInteger(type)) return x;
  const whole = Math.trunc(x);
  const [min, max] = integerRange(type);
  if (whole >= min && whole <= max) return whole === 0 ? 0 : whole;
  return Number.isFinite(whole) ? wrapBig(type, BigInt(whole)) : 0;
}

/** An integer brought into the range of its type. */
export function saturate(type: ElementType, x: number): number {
  const [min, max] = integerRange(type);
  return Math.min(max, Math.max(min, x));
}

/**
 * A number as Cast makes it. Floats become integers by truncation and stop at the ends of the range, integers wrap,
 * f16, bf16, f8 and f4 are rounded to their grid; f32 keeps the double, so that differences of a cast graph stay smooth.
 */
export function castNumber(from: ElementType, to: ElementType, x: number, saturates = true): number {
  if (to === 'bool') return x === 0 ? 0 : 1;
  if (to === 'f64' || to === 'f32') return x;
  if (to === 'f16') return f16ToF32(f32ToF16(x));
  if (to === 'bf16') return bf16ToF32(f32ToBf16(x));
  if (to === 'f8_e8m0') return decodeE8M0(encodeE8M0(x));
  const mini = miniFloats[to];
  if (mini !== undefined) return miniFloatOf(mini, x, saturates);
  if (isInteger(from) || from === 'bool') return fit(to, x);
  return Number.isNaN(x) ? 0 : saturate(to, Math.trunc(x)) + 0;
}

function miniFloatOf(mini: MiniFloat, x: number, saturates: boolean): number {
  // f4 has no NaN; the standard makes it the largest value.
  if (Number.isNaN(x)) return mini === e2m1 ? mini.max : NaN;
  if (!saturates) {
    // Halfway between the largest value and where the next would be, a tie goes to the even one, which does not exist.
    const step = 2 ** (Math.floor(Math.log2(mini.max)) - mini.mantissaBits);
    const over = Math.abs(x) > mini.max + step / 2 || (Math.abs(x) === mini.max + step / 2 && mini.maxCode % 2 === 1);
    if (over) return mini.name === 'e5m2' ? Math.sign(x) * Infinity : NaN;
  }
  return decodeMiniFloat(encodeMiniFloat(x, mini), mini);
}

/** What QuantizeLinear makes of a quotient: the nearest number of the type, ties to even, shifted by the zero point. */
export const quantizeNumber = (type: ElementType, x: number, zero: number, saturates = true): number =>
  (isInteger(type) ? saturate(type, rne(x) + zero) + 0 : castNumber('f32', type, x, saturates));

/** A weight as a value; codes of sub-byte types are read low bits first. */
export async function readValue(tensor: TensorRef): Promise<Value64> {
  const { name, type, shape } = tensor;
  if (isBlockType(type)) throw errors.blocks({ name, type });
  if (isNumberType(type)) return valueOf(type, shape, await readNumbers(tensor));
  const { bits } = elementTypes[type];
  const codes = unpackLowFirst(await tensor.read(), elementCount(shape, name), bits);
  const mini = miniFloats[type];
  if (type === 'f8_e8m0') return valueOf(type, shape, Float64Array.from(codes, decodeE8M0));
  if (mini !== undefined) return valueOf(type, shape, Float64Array.from(codes, (code) => decodeMiniFloat(code, mini)));
  return valueOf(type, shape, type.startsWith('i') ? signExtend(codes, bits) : codes);
}
