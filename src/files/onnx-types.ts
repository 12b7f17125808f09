/** What ONNX numbers: element types, attribute types and the IR version that goes with an operator set. */
import type { ElementType } from './tensor.ts';

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

/** AttributeProto.AttributeType. */
export const attributeTypes = {
  float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8, tensors: 9, graphs: 10,
  sparseTensor: 11, sparseTensors: 12, typeProto: 13, typeProtos: 14,
} as const;

export const attributeTypeNames = new Map<number, string>(Object.entries(attributeTypes).map(([name, number]) => [number, name]));

/** Newest operator set of the default domain that is understood. */
export const newestOpset = 26;
/** Newest version of the container. */
export const newestIr = 13;

/** The oldest container version released together with or before an operator set; 4 at least, where weights need not be inputs. */
export function irVersionOf(opset: number): number {
  const since: readonly (readonly [opset: number, ir: number])[] = [
    [25, 13], [24, 12], [23, 11], [21, 10], [19, 9], [15, 8], [12, 7], [11, 6], [10, 5],
  ];
  return since.find(([first]) => opset >= first)?.[1] ?? 4;
}
