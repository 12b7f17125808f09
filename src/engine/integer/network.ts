/**
 * A network that computes in integers alone, from the quantized input to the sums of the last layer: products, additions
 * and dyadic rescaling (HAWQ-V3, arXiv:2011.10680). There are no zero points: every value is a code times a scale.
 * `execute.ts` runs it plainly; `export/onnx-integer.ts` writes it.
 */
import type { Graph, Node } from '../../graph/graph.ts';
import type { Dyadic } from '../../numeric/dyadic.ts';

export interface IntegerValue {
  readonly name: string;
  /** Codes lie in [low, high], whatever the input. */
  readonly low: number;
  readonly high: number;
  /** What a code is worth: one number, or one per channel. */
  readonly scales: Float64Array;
  /** Dimensions behind the channels: 2 for images, 0 for rows of a matrix. */
  readonly trailing: number;
}

export type IntegerOp =
  /** A float input becomes codes: x / scale in float32, to nearest, halves to even, clamped. */
  | { readonly op: 'quantize'; readonly input: string; readonly output: string; readonly scale: number }
  /** Conv, Gemm or MatMul of `node` with integer weights in the layout of the node, and a bias per output channel. */
  | { readonly op: 'products'; readonly node: Node; readonly input: string; readonly output: string; readonly weight: IntegerWeight }
  /** Codes to another scale, one factor or one per channel, clamped to the range of the output. */
  | { readonly op: 'rescale'; readonly input: string; readonly output: string; readonly factors: readonly Dyadic[] }
  /** Two values of one scale, clamped to the range of the output. */
  | { readonly op: 'add'; readonly inputs: readonly [string, string]; readonly output: string }
  /** Sums over the windows of a pool, or over all positions; `axes` spatial ones lie behind `channels`. */
  | { readonly op: 'sum'; readonly node: Node; readonly input: string; readonly output: string; readonly channels: number; readonly axes: number }
  /** Elements in other places: Slice, Pad with zeros, Reshape, MaxPool, Concat of values of one scale and the like. */
  | { readonly op: 'move'; readonly node: Node; readonly inputs: readonly string[]; readonly outputs: readonly string[] }
  /** Codes times their scales, for what comes after the last layer. */
  | { readonly op: 'dequantize'; readonly input: string; readonly output: string };

/** Operators that put elements in other places. */
export const moving: ReadonlySet<string> = new Set(['MaxPool', 'Reshape', 'Transpose', 'Flatten', 'Squeeze', 'Unsqueeze', 'Slice', 'Split', 'DepthToSpace', 'SpaceToDepth', 'Identity', 'Pad', 'Concat', 'Gather', 'Resize']);

export interface IntegerWeight {
  readonly id: string;
  /** As the operator stores it. */
  readonly shape: readonly number[];
  readonly codes: Int8Array;
  /** Bits that the codes need. */
  readonly bits: number;
  readonly bias: Int32Array | undefined;
}

export interface IntegerNetwork {
  /** The float network: its inputs and outputs, constants of moves, nodes after the last layer. */
  readonly source: Graph;
  readonly ops: readonly IntegerOp[];
  readonly values: ReadonlyMap<string, IntegerValue>;
  /** Float nodes behind the integer part. */
  readonly tail: readonly Node[];
}
