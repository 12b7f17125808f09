/** Constants of a network in QDQ form: folded where they are computed from constants, and the weights of products among them. */
import type { Graph, Node } from '../../graph/graph.ts';
import { rne } from '../../numeric/rounding.ts';
import { Call } from '../interpreter/call.ts';
import { operators } from '../interpreter/operators.ts';
import { readValue } from '../interpreter/types.ts';
import type { Value64 } from '../interpreter/value.ts';
import type { QdqWeight } from './network.ts';

/** What computes constants from constants here: weights that are dequantized, and those that are still quantized from floats. */
const folding: ReadonlySet<string> = new Set(['Constant', 'QuantizeLinear', 'DequantizeLinear', 'Identity', 'Transpose', 'Reshape', 'Cast']);

/** float32, as values of the interpreter are doubles. */
export const rounded = (value: Value64): Value64 => (value.type === 'f32' ? { ...value, data: value.data.map(Math.fround) } : value);

export class Constants {
  readonly #graph: Graph;
  readonly #makers = new Map<string, Node>();
  readonly #known = new Map<string, Promise<Value64>>();

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  has = (name: string): boolean => this.#graph.weights.has(name) || this.#makers.has(name);

  /** Whether this node makes a constant, which it then is. */
  takes(node: Node): boolean {
    if (node.domain !== '' || !folding.has(node.op) || node.outputs.length !== 1 || !node.inputs.every((name) => name === '' || this.has(name))) return false;
    this.#makers.set(node.outputs[0], node);
    return true;
  }

  get(name: string): Promise<Value64> {
    const found = this.#known.get(name) ?? this.#read(name);
    this.#known.set(name, found);
    return found;
  }

  async #read(name: string): Promise<Value64> {
    const maker = this.#makers.get(name);
    if (maker === undefined) return readValue(this.#graph.weights.get(name)!);
    const inputs = await Promise.all(maker.inputs.map((input) => (input === '' ? undefined : this.get(input))));
    return rounded(await operators[maker.op](new Call(maker, inputs, () => Promise.resolve([]))) as Value64);
  }

  /** The DequantizeLinear that makes a constant, with what it reads. */
  async dequantized(name: string): Promise<{ codes: Value64; scales: Value64; zeros: Value64 | undefined; axis: number; blocks: boolean } | undefined> {
    const maker = this.#makers.get(name);
    if (maker?.op !== 'DequantizeLinear') return undefined;
    const [codes, scales, zeros] = await Promise.all(maker.inputs.map((input) => (input === '' ? undefined : this.get(input))));
    const call = new Call(maker, [], () => Promise.resolve([]));
    const axis = call.int('axis', 1);
    return { codes: codes!, scales: scales!, zeros, axis: axis < 0 ? axis + codes!.shape.length : axis, blocks: call.int('block_size', 0) > 0 };
  }

  /** Weights of a product as signed integers of 8 bits with one scale or one per output; undefined where they are others. */
  async integers(name: string, outputAxis: number): Promise<{ weight: QdqWeight<Int8Array>; scales: Float32Array } | undefined> {
    const found = await this.dequantized(name);
    if (found === undefined || found.blocks) return undefined;
    const { codes, scales, zeros, axis } = found;
    const outputs = codes.shape[outputAxis];
    const perOutput = scales.data.length > 1;
    if (perOutput && (axis !== outputAxis || scales.shape.length !== 1 || scales.data.length !== outputs)) return undefined;
    if (zeros !== undefined && zeros.data.length !== 1 && zeros.data.length !== scales.data.length) return undefined;
    const { shape, data } = outputsFirst(codes, outputAxis);
    const inEach = data.length / outputs;
    const values = Int8Array.from(data, (code, i) => code - zeroOf(zeros, Math.floor(i / inEach)));
    if (values.some((code, i) => code !== data[i] - zeroOf(zeros, Math.floor(i / inEach)))) return undefined;
    return { weight: { name, shape, values }, scales: Float32Array.from({ length: outputs }, (_, o) => scales.data[perOutput ? o : 0]) };
  }

  async floats(name: string, outputAxis: number): Promise<QdqWeight<Float32Array>> {
    const { shape, data } = outputsFirst(await this.get(name), outputAxis);
    return { name, shape, values: Float32Array.from(data) };
  }

  /** A bias as integers at these scales: its own codes where they lie there, rounded otherwise. */
  async bias(name: string, scales: Float32Array): Promise<Float64Array> {
    const real = await this.get(name);
    const found = await this.dequantized(name);
    const at = (values: Float64Array, o: number): number => values[values.length === 1 ? 0 : o];
    return Float64Array.from(scales, (scale, o) => {
      const near = found !== undefined && found.zeros?.data.every((zero) => zero === 0) !== false && Math.abs(at(found.scales.data, o) - scale) <= scale * 1e-5;
      return near ? at(found.codes.data, o) : rne(at(real.data, o) / scale);
    });
  }
}

const zeroOf = (zeros: Value64 | undefined, output: number): number => zeros?.data[zeros.data.length === 1 ? 0 : output] ?? 0;

/** A matrix stored [inputs, outputs] the other way round. */
function outputsFirst({ shape, data }: Value64, outputAxis: number): { shape: readonly number[]; data: Float64Array } {
  if (outputAxis === 0) return { shape, data };
  const [inputs, outputs] = shape;
  return { shape: [outputs, inputs], data: data.map((_, i) => data[(i % inputs) * outputs + Math.floor(i / inputs)]) };
}
