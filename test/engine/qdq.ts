/** Networks in QDQ form for tests: every activation is quantized where it is made. */
import { int, ints, GraphBuilder, string } from '../../src/graph/build.ts';
import type { Attribute, Graph } from '../../src/graph/graph.ts';
import { encodeNumbers } from '../../src/graph/values.ts';
import { normal } from '../../src/numeric/random.ts';
import { floatTensor, memoryTensor, type ElementType } from '../../src/tensor-ref.ts';

type Attributes = Readonly<Record<string, Attribute>>;
export interface Activation { readonly scale: number; readonly zero: number }

export class QdqBuilder {
  readonly g: GraphBuilder;
  readonly type: 'u8' | 'i8';
  #count = 0;

  constructor(name: string, type: 'u8' | 'i8' = 'u8') {
    this.g = new GraphBuilder(name, 21);
    this.type = type;
  }

  constant(type: ElementType, shape: readonly number[], values: readonly number[]): string {
    const name = `constant_${this.#count++}`;
    return this.g.weight(type === 'f32' ? floatTensor(name, shape, Float32Array.from(values)) : memoryTensor(name, type, shape, encodeNumbers(type as 'i8', values)));
  }

  /** QuantizeLinear and DequantizeLinear behind a value; zero points are those of uint8. */
  round(x: string, { scale, zero }: Activation): string {
    const names = [this.constant('f32', [], [scale]), this.constant(this.type, [], [this.type === 'i8' ? zero - 128 : zero])];
    return this.g.op('DequantizeLinear', [this.g.op('QuantizeLinear', [x, ...names]), ...names]);
  }

  input(shape: readonly (number | string)[], grid: Activation): string {
    return this.round(this.g.input('x', 'f32', shape), grid);
  }

  /** Codes from the normal distribution, with one scale per output of `axis` or one for all. */
  weight(seed: number, shape: readonly number[], perOutput = true, axis = 0): { name: string; scales: readonly number[] } {
    const count = shape.reduce((a, b) => a * b, 1);
    const codes = Array.from({ length: count }, (_, i) => Math.max(-128, Math.min(127, Math.round(normal(seed, 0, i) * 60))));
    const scales = perOutput ? Array.from({ length: shape[axis] }, (_, o) => Math.fround(0.004 + 0.0007 * (o % 5))) : [Math.fround(0.005)];
    const scale = this.constant('f32', perOutput ? [scales.length] : [], scales);
    return { name: this.g.op('DequantizeLinear', [this.constant('i8', shape, codes), scale], { axis: int(axis) }), scales };
  }

  /** An int32 bias at the scales of the sums. */
  bias(seed: number, outputs: number, inputScale: number, scales: readonly number[]): string {
    const of = Array.from({ length: outputs }, (_, o) => Math.fround(inputScale * scales[scales.length === 1 ? 0 : o]));
    const codes = of.map((_, o) => Math.round(normal(seed, 1, o) * 500));
    return this.g.op('DequantizeLinear', [this.constant('i32', [outputs], codes), this.constant('f32', [outputs], of)], { axis: int(0) });
  }

  conv(x: string, from: Activation, seed: number, shape: readonly number[], attributes: { group?: number; strides?: readonly number[]; pads?: readonly number[]; dilations?: readonly number[] } = {}, perOutput = true): string {
    const { name, scales } = this.weight(seed, shape, perOutput);
    const { group = 1, ...lists } = attributes;
    const own: Attributes = { group: int(group), ...Object.fromEntries(Object.entries(lists).map(([key, value]) => [key, ints(value)])) };
    return this.g.op('Conv', [x, name, this.bias(seed, shape[0], from.scale, scales)], own);
  }

  finish(x: string, shape: readonly (number | string)[]): Graph {
    this.g.output(x, 'y', 'f32', shape);
    return this.g.graph();
  }
}

/** The graph with every rounded activation among its outputs. */
export function withRounded(graph: Graph): Graph {
  const quantized = new Set(graph.nodes.filter(({ op }) => op === 'QuantizeLinear').map(({ outputs: [name] }) => name));
  const shown = graph.nodes.filter(({ op, inputs: [first] }) => op === 'DequantizeLinear' && quantized.has(first)).map(({ outputs: [name] }) => name);
  return { ...graph, outputs: [...graph.outputs, ...shown.filter((name) => graph.outputs.every((output) => output.name !== name)).map((name) => ({ name, type: 'f32' as const, shape: undefined }))] };
}

/** Grids of activations. */
export const A: Activation = { scale: 0.031, zero: 121 };
export const B: Activation = { scale: 0.047, zero: 0 };
export const C: Activation = { scale: 0.04, zero: 130 };

/** Operators between convolutions, as a network has them. */
export function everything(): Graph {
  const g = new QdqBuilder('everything');
  const x = g.input(['batch', 3, 16, 16], A);
  const first = g.round(g.g.op('Relu', [g.conv(x, A, 1, [16, 3, 3, 3], { strides: [2, 2], pads: [1, 1, 1, 1] })]), B);
  const depthwise = g.round(g.g.op('Clip', [g.conv(first, B, 2, [16, 1, 3, 3], { group: 16, pads: [1, 1, 1, 1] }), '', g.constant('f32', [], [3])]), B);
  const joined = g.round(g.g.op('Add', [depthwise, first]), C);
  const pooled = g.g.op('MaxPool', [joined], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), ceil_mode: int(1) });
  const averaged = g.round(g.g.op('AveragePool', [joined], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) }), C);
  const cornered = g.round(g.g.op('AveragePool', [joined], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), ceil_mode: int(1) }), B);
  const side = g.round(g.g.op('Concat', [pooled, averaged, cornered], { axis: int(1) }), A);
  // A shuffle of channels: three moves are one.
  const shuffled = g.g.op('Reshape', [g.g.op('Transpose', [g.g.op('Reshape', [side, g.g.ints([0, 4, 12, 4, 4])])], { perm: ints([0, 2, 1, 3, 4]) }), g.g.ints([0, 48, 4, 4])]);
  const gated = g.round(g.g.op('Sigmoid', [g.round(g.conv(g.round(g.g.op('GlobalAveragePool', [shuffled]), A), A, 4, [48, 48, 1, 1]), C)]), { scale: 1 / 255, zero: 0 });
  const scaled = g.round(g.g.op('Mul', [shuffled, gated]), A);
  const [left, right] = g.g.op('Split', [scaled], { axis: int(1), num_outputs: int(2) }, { outputs: 2 }) as unknown as string[];
  const wide = g.g.op('Resize', [left, '', g.constant('f32', [4], [1, 1, 2, 2])], { mode: string('nearest'), coordinate_transformation_mode: string('asymmetric'), nearest_mode: string('floor') });
  const padded = g.g.op('Pad', [g.g.op('Slice', [wide, g.g.ints([0, 1]), g.g.ints([8, 8]), g.g.ints([2, 3]), g.g.ints([1, 1])]), g.g.ints([0, 0, 0, 1, 0, 0, 0, 0])]);
  const second = g.round(g.conv(padded, A, 5, [12, 24, 3, 3], { pads: [1, 1, 1, 1] }), C);
  // Floats in the middle: a loud activation that was not rounded.
  const loud = g.g.op('Relu', [g.conv(right, A, 6, [12, 24, 1, 1])]);
  const back = g.round(g.g.op('Mul', [g.g.op('Add', [loud, loud]), g.constant('f32', [1], [0.5])]), C);
  const mean = g.round(g.g.op('ReduceMean', [second, g.g.ints([2, 3])], { keepdims: int(0) }), A);
  const flat = g.round(g.g.op('Flatten', [back], { axis: int(1) }), C);
  const matrix = g.weight(7, [192, 10], true, 1);
  const [a, b] = [g.round(g.g.op('MatMul', [flat, matrix.name]), A), g.weight(8, [10, 12])];
  const logits = g.g.op('Add', [a, g.round(g.g.op('Gemm', [mean, b.name, g.bias(8, 10, A.scale, b.scales)], { transB: int(1) }), A)]);
  return g.finish(g.g.op('Softmax', [g.round(logits, A)], { axis: int(-1) }), ['batch', 10]);
}
