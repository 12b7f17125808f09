/** Numbers that ONNX gives to element types; operators such as Cast carry them as attributes. */
import type { ElementType } from '../tensor-ref.ts';

/** TensorProto.DataType of every element type. */
export const onnxTypes: Readonly<Record<ElementType, number>> = {
  f32: 1, u8: 2, i8: 3, u16: 4, i16: 5, i32: 6, i64: 7, bool: 9, f16: 10, f64: 11, u32: 12, u64: 13, bf16: 16,
  f8_e4m3: 17, f8_e5m2: 19, u4: 21, i4: 22, f4_e2m1: 23, f8_e8m0: 24, u2: 25, i2: 26,
};
export const stringType = 8;

const byNumber = new Map(Object.entries(onnxTypes).map(([type, number]) => [number, type as ElementType]));

/** The element type with this number; undefined for those that graphs do not carry. */
export const elementTypeOf = (number: number): ElementType | undefined => byNumber.get(number);

const others: Readonly<Record<number, string>> = {
  8: 'string', 14: 'complex64', 15: 'complex128', 18: 'float8e4m3fnuz', 20: 'float8e5m2fnuz',
};
/** Name of an element type for messages. */
export const onnxTypeName = (number: number): string => byNumber.get(number) ?? others[number] ?? `number ${number}`;
