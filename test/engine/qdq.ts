/** Networks in QDQ form for tests: every activation is quantized where it is made. */
import { int, ints, GraphBuilder } from '../../src/graph/build.ts';
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
