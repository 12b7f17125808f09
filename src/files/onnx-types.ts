/** What ONNX numbers: attribute types and the IR version that goes with an operator set. */
export { elementTypeOf, onnxTypeName, onnxTypes, stringType } from '../graph/data-types.ts';

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
