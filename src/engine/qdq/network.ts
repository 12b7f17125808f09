/**
 * A network in the QuantizeLinear/DequantizeLinear form, as what is computed: integer products, additions and pools of codes
 * of 8 bits with requantization, element moves, and the float operators that are left. `read.ts` finds it in a graph,
 * `plain.ts` runs it plainly, `run.ts` on kernels, with the same bits.
 *
 * Rounding, everywhere: sums of products are exact; a sum times float32(float32(input scale · weight scale) / output scale) is
 * rounded to float32 and then to the nearest code, halves to even. Every other operator is computed in float32 from dequantized
 * codes, rounded after each step.
 */
import type { Graph, Node } from '../../graph/graph.ts';
import type { Value64 } from '../interpreter/value.ts';

/** What codes stand for: (code − zero) · scale. Codes are bytes; those of int8 are stored with 128 added, and so is their zero. */
export interface Grid { readonly scale: number; readonly zero: number }

/** Codes that an operator reads, by the grid it reads them with. */
export interface Codes { readonly name: string; readonly grid: Grid }

/** The grid that results are rounded to, and the codes they stay within: a Relu or Clip that was passed on the way. */
export interface Into { readonly grid: Grid; readonly low: number; readonly high: number }

/** Weights with the outputs first: [outputs, channels / groups, …kernel], or [outputs, inputs] of a matrix. */
export interface QdqWeight<Values> { readonly name: string; readonly shape: readonly number[]; readonly values: Values }

export type QdqOp =
  | { readonly op: 'quantize'; readonly input: string; readonly output: string; readonly grid: Grid }
  | { readonly op: 'dequantize'; readonly input: Codes; readonly output: string }
  /** Conv, Gemm or MatMul of codes: (Σ + bias) · factor + addend per output, as codes of `into` or as floats without. */
  | {
    readonly op: 'products'; readonly node: Node; readonly input: Codes; readonly output: string; readonly into: Into | undefined;
    readonly weight: QdqWeight<Int8Array>; readonly bias: Int32Array; readonly factors: Float32Array; readonly addends: Float32Array;
  }
  /** The same of floats, summed in the order of the window, the bias first. */
  | { readonly op: 'floatProducts'; readonly node: Node; readonly input: string; readonly output: string; readonly weight: QdqWeight<Float32Array>; readonly bias: Float32Array }
  /** Add or Mul of two. */
  | { readonly op: 'join'; readonly node: Node; readonly inputs: readonly [Codes, Codes]; readonly output: string; readonly into: Into }
  | { readonly op: 'largest'; readonly node: Node; readonly input: string; readonly output: string }
  /** GlobalAveragePool, AveragePool, or ReduceMean over all positions: sums times factors. */
  | { readonly op: 'average'; readonly node: Node; readonly input: Codes; readonly output: string; readonly into: Into }
  | { readonly op: 'concat'; readonly node: Node; readonly inputs: readonly Codes[]; readonly output: string; readonly into: Into }
  /** Elements in other places; what padding adds is `fill`. */
  | { readonly op: 'move'; readonly node: Node; readonly inputs: readonly string[]; readonly outputs: readonly string[]; readonly fill: number }
  /** A function of one code: a byte for each of 256. */
  | { readonly op: 'table'; readonly input: string; readonly output: string; readonly table: Uint8Array }
  /** Any other operator, in float32, by the interpreter where there is no kernel. */
  | { readonly op: 'other'; readonly node: Node };

export interface QdqNetwork {
  readonly source: Graph;
  readonly ops: readonly QdqOp[];
  /** Constants that operators read, by name. */
  readonly constants: ReadonlyMap<string, Value64>;
  /** Index of the last operator that reads a value. */
  readonly lastUse: ReadonlyMap<string, number>;
}

/** Names that an operator reads. */
export function readsOf(one: QdqOp): readonly string[] {
  switch (one.op) {
    case 'quantize': case 'largest': case 'table': case 'floatProducts': return [one.input];
    case 'dequantize': case 'products': return [one.input.name];
    case 'average': return [one.input.name, ...one.node.inputs.slice(1)];
    case 'join': case 'concat': return one.inputs.map(({ name }) => name);
    case 'move': return one.inputs;
    case 'other': return one.node.inputs;
  }
}
