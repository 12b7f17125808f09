/**
 * An integer network as an ONNX graph that every engine computes alike, to the last bit.
 *
 * Products are a float Conv or MatMul of integers where no sum can leave 2^24, which float32 holds exactly in any order of
 * addition; elsewhere ConvInteger and MatMulInteger, their weights unsigned where x86 without VNNI would saturate sums of
 * two products. Rescaling is a division of 64-bit integers made non-negative, which all engines round alike:
 * ⌊(a·m + 2^(e−1)) / 2^e⌋ = (a·m + 2^(e−1) + k·2^e) / 2^e − k.
 */
import type { IntegerNetwork, IntegerOp, IntegerValue, IntegerWeight } from '../engine/integer/network.ts';
import { defineErrors } from '../errors.ts';
import { packLowFirst } from '../formats/packing/bits.ts';
import { int, int64Tensor, ints } from '../graph/build.ts';
import { onnxTypes } from '../graph/data-types.ts';
import type { Attribute, Graph, Node } from '../graph/graph.ts';
import { freshNames, makeNode, removeDeadNodes, type Fresh } from '../graph/rewrite.ts';
import { upgradeOpset } from '../graph/upgrade.ts';
import { encodeNumbers, numberTensor } from '../graph/values.ts';
import { dyadicValue } from '../numeric/dyadic.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../tensor-ref.ts';
import { integerNetwork, type IntegerNetworkOptions } from './integer-network.ts';
import { note, type ExportNote } from './onnx-note.ts';

export { integerValues } from './integer-parts.ts';

export interface IntegerOptions extends IntegerNetworkOptions {
  /** `proved` (default): float products where they are proved exact. `integer`: integer operators everywhere. */
  readonly products?: 'proved' | 'integer';
}

const errors = defineErrors('integers', {
  rescaling: ({ value }: { value: string }) => `value ${value}: its rescaling would leave 64 bits`,
  pool: ({ value }: { value: string }) => `value ${value}: sums of a pool may leave 2^24, beyond what float32 adds exactly`,
});

/** float32 holds every integer up to here. */
const exactFloat = 2 ** 24;

/** The integer-only form of a graph with folded batch normalization. */
export async function exportIntegerOnly(graph: Graph, options: IntegerOptions): Promise<{ graph: Graph; network: IntegerNetwork; notes: readonly ExportNote[] }> {
  const network = await integerNetwork((graph.opset.get('') ?? 1) < 21 ? await upgradeOpset(graph, 21) : graph, options);
  return { network, ...writeIntegerNetwork(network, options.products) };
}

/** Integer values keep the names that they have in the network. */
export function writeIntegerNetwork(network: IntegerNetwork, products: 'proved' | 'integer' = 'proved'): { graph: Graph; notes: readonly ExportNote[] } {
  const writer = new Writer(network, products);
  const { source, tail } = network;
  for (const op of network.ops) writer.add(op);
  const { nodes, weights, floats, integers } = writer;
  const graph = removeDeadNodes({ ...source, nodes: [...nodes, ...tail], weights: new Map([...source.weights, ...weights]), values: new Map() });
  const text = `computes in integers alone, ${floats} of ${floats + integers} products as float operators on integers whose sums are proved below 2^24`;
  return { graph, notes: [note('form', source.name, text)] };
}

type Home = 'f32' | 'i32' | 'i64' | 'u8' | 'i8';

class Writer {
  readonly nodes: Node[] = [];
  readonly weights = new Map<string, TensorRef>();
  floats = 0;
  integers = 0;
  readonly #network: IntegerNetwork;
  readonly #products: 'proved' | 'integer';
  readonly #fresh: Fresh;
  /** Tensors of a value, by type. */
  readonly #held = new Map<string, Map<Home, string>>();

  constructor(network: IntegerNetwork, products: 'proved' | 'integer') {
    this.#network = network;
    this.#products = products;
    const fresh = freshNames(network.source);
    for (const name of network.values.keys()) fresh(name);
    this.#fresh = fresh;
  }

  add(op: IntegerOp): void {
    switch (op.op) {
      case 'quantize': return this.#quantize(op);
      case 'products': return this.#multiply(op);
      case 'rescale': return this.#rescale(op);
      case 'add': return this.#add(op);
      case 'sum': return this.#sum(op);
      case 'move': {
        const inputs = [...op.inputs.map((name) => this.#as(name, 'f32')), ...op.node.inputs.slice(op.inputs.length)];
        this.nodes.push({ ...op.node, inputs, outputs: op.outputs });
        for (const output of op.outputs) this.#hold(output, 'f32', output);
        return;
      }
      case 'dequantize': {
        const { name, scales, trailing } = this.#value(op.input);
        this.#node('Mul', [this.#as(name, 'f32'), this.#weight(floatTensor(`${name}_scale`, shapeOf(scales.length, trailing), Float32Array.from(scales)))], op.output);
        return;
      }
    }
  }

  #value = (name: string): IntegerValue => this.#network.values.get(name)!;

  #node(op: string, inputs: readonly string[], output: string, attributes: Readonly<Record<string, Attribute>> = {}): string {
    this.nodes.push(makeNode(op, inputs, [output], { name: this.#fresh(`${output}_${op}`), attributes }));
    return output;
  }

  #weight(tensor: TensorRef): string {
    const name = this.#fresh(tensor.name);
    this.weights.set(name, { ...tensor, name, read: (begin, end) => tensor.read(begin, end) });
    return name;
  }

  #hold(value: string, type: Home, tensor: string): void {
    const found = this.#held.get(value);
    if (found === undefined) this.#held.set(value, new Map([[type, tensor]]));
    else found.set(type, tensor);
  }

  /** A value as a tensor of a type; integers pass from type to type unchanged. */
  #as(value: string, type: Home): string {
    const held = this.#held.get(value)!;
    const found = held.get(type);
    if (found !== undefined) return found;
    const [first] = held.values();
    const tensor = this.#node('Cast', [first], this.#fresh(`${value}_${type}`), { to: int(onnxTypes[type]) });
    held.set(type, tensor);
    return tensor;
  }

  #scalar = (stem: string, type: 'i64' | 'f32' | 'u8', value: number): string => this.#weight(numberTensor(stem, type, [], [value]));

  #clip(input: string, { name, low, high }: IntegerValue, type: 'i64' | 'f32', output = name): string {
    return this.#node('Clip', [input, this.#scalar(`${name}_low`, type, low), this.#scalar(`${name}_high`, type, high)], output);
  }

  #quantize({ input, output, scale }: Extract<IntegerOp, { op: 'quantize' }>): void {
    const divided = this.#node('Div', [input, this.#scalar(`${output}_scale`, 'f32', scale)], this.#fresh(`${output}_divided`));
    this.#clip(this.#node('Round', [divided], this.#fresh(`${output}_rounded`)), this.#value(output), 'f32');
    this.#hold(output, 'f32', output);
  }

  #multiply({ node, input, output, weight }: Extract<IntegerOp, { op: 'products' }>): void {
    const x = this.#value(input);
    const proved = this.#products === 'proved' && this.#value(output).high <= exactFloat;
    if (proved) this.floats++;
    else this.integers++;
    const codes = this.#codes(weight, node);
    const bias = weight.bias === undefined ? [] : [this.#bias(weight.bias, output, proved ? 'f32' : 'i32', proved ? 0 : this.#value(output).trailing)];
    if (proved) {
      const real = this.#node('Cast', [codes.name], this.#fresh(`${weight.id}_f32`), { to: int(onnxTypes.f32) });
      if (node.op === 'Conv') this.#node('Conv', [this.#as(input, 'f32'), real, ...bias], output, node.attributes);
      else {
        const product = this.#node('MatMul', [this.#as(input, 'f32'), real], bias.length === 0 ? output : this.#fresh(`${output}_product`));
        if (bias.length > 0) this.#node('Add', [product, ...bias], output);
      }
      this.#hold(output, 'f32', output);
      return;
    }
    const product = this.#integerProduct(node, input, x, codes, bias.length === 0 ? output : this.#fresh(`${output}_product`));
    if (bias.length > 0) this.#node('Add', [product, ...bias], output);
    this.#hold(output, 'i32', output);
  }

  /** ConvInteger or MatMulInteger of bytes. */
  #integerProduct(node: Node, input: string, x: IntegerValue, codes: Codes, output: string): string {
    const bytes = this.#as(input, x.low >= 0 ? 'u8' : 'i8');
    // Sums of two products that stay within 16 bits are saturated by no instruction.
    const small = 2 * codes.largest * Math.max(x.high, -x.low) < 2 ** 15;
    const [weight, ...zeros] = small ? [this.#signed(codes)] : [this.#weight(codes.unsigned()), '', this.#scalar(`${codes.name}_zero`, 'u8', 128)];
    if (node.op !== 'Conv') return this.#node('MatMulInteger', [bytes, weight, ...zeros], output);
    return this.#node('ConvInteger', [bytes, weight, ...zeros], output, node.attributes);
  }

  #signed({ name, type }: Codes): string {
    return type === 'i8' ? name : this.#node('Cast', [name], this.#fresh(`${name}_i8`), { to: int(onnxTypes.i8) });
  }

  /** Weights in as few bits as they need, of matrix products as [in, out]. */
  #codes({ id, shape, codes, bits }: IntegerWeight, node: Node): Codes {
    const transposed = node.op === 'Gemm' && node.attributes.transB?.value === 1;
    const dims = transposed ? [shape[1], shape[0]] : shape;
    const values = transposed ? codes.map((_, i) => codes[(i % shape[0]) * shape[1] + Math.floor(i / shape[0])]) : codes;
    const largest = values.reduce((most, code) => Math.max(most, Math.abs(code)), 0);
    const type = bits <= 4 ? 'i4' : 'i8';
    const name = this.#weight(memoryTensor(`${id}_quantized`, type, dims, packLowFirst(values, type === 'i4' ? 4 : 8)));
    return { name, type, largest, unsigned: () => memoryTensor(`${id}_unsigned`, 'u8', dims, Uint8Array.from(values, (code) => code + 128)) };
  }

  #bias(bias: Int32Array, output: string, type: 'f32' | 'i32', trailing: number): string {
    const name = `${output}_bias`;
    return this.#weight(memoryTensor(name, type, [bias.length, ...Array<number>(trailing).fill(1)], encodeNumbers(type, bias)));
  }

  #rescale({ input, output, factors }: Extract<IntegerOp, { op: 'rescale' }>): void {
    const [from, to] = [this.#value(input), this.#value(output)];
    const reach = Math.max(Math.abs(from.low), Math.abs(from.high));
    const lifts = factors.map((factor) => (from.low >= 0 ? 0 : Math.ceil(reach * dyadicValue(factor)) + 1));
    factors.forEach(({ multiplier, shift }, i) => {
      if (reach * multiplier + (lifts[i] + 1) * 2 ** shift >= 2 ** 63) throw errors.rescaling({ value: output });
    });
    const per = (stem: string, values: readonly bigint[]): string =>
      this.#weight(memoryTensor(`${output}_${stem}`, 'i64', values.length === 1 ? [] : shapeOf(values.length, from.trailing), new Uint8Array(BigInt64Array.from(values).buffer)));
    const scaled = this.#node('Mul', [this.#as(input, 'i64'), per('multiplier', factors.map(({ multiplier }) => BigInt(multiplier)))], this.#fresh(`${output}_scaled`));
    const raised = this.#node('Add', [scaled, per('raise', factors.map(({ shift }, i) => (BigInt(lifts[i]) << BigInt(shift)) + (shift > 0 ? 1n << BigInt(shift - 1) : 0n)))], this.#fresh(`${output}_raised`));
    const divided = this.#node('Div', [raised, per('divisor', factors.map(({ shift }) => 1n << BigInt(shift)))], this.#fresh(`${output}_divided`));
    const lowered = lifts.every((lift) => lift === 0) ? divided : this.#node('Sub', [divided, per('lift', lifts.map(BigInt))], this.#fresh(`${output}_lowered`));
    this.#clip(lowered, to, 'i64');
    this.#hold(output, 'i64', output);
  }

  #add({ inputs: [a, b], output }: Extract<IntegerOp, { op: 'add' }>): void {
    const sum = this.#node('Add', [this.#as(a, 'i64'), this.#as(b, 'i64')], this.#fresh(`${output}_sum`));
    this.#clip(sum, this.#value(output), 'i64');
    this.#hold(output, 'i64', output);
  }

  /** A pool over windows is a convolution with ones. */
  #sum({ node, input, output, channels, axes: count }: Extract<IntegerOp, { op: 'sum' }>): void {
    if (node.op !== 'AveragePool') {
      const axes = this.#weight(int64Tensor(`${output}_axes`, Array.from({ length: count }, (_, i) => i + 2)));
      const keep = node.op === 'GlobalAveragePool' ? 1 : (node.attributes.keepdims?.value as number | undefined) ?? 1;
      this.#node('ReduceSum', [this.#as(input, 'i64'), axes], output, { keepdims: int(keep) });
      return this.#hold(output, 'i64', output);
    }
    const { low, high } = this.#value(output);
    const kernel = node.attributes.kernel_shape.value as readonly number[];
    if (Math.max(-low, high) > exactFloat) throw errors.pool({ value: output });
    const shape = [channels, 1, ...kernel];
    const ones = this.#weight(floatTensor(`${output}_ones`, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1)));
    const { strides, pads, dilations, auto_pad: auto } = node.attributes;
    this.#node('Conv', [this.#as(input, 'f32'), ones], output, {
      kernel_shape: ints(kernel), group: int(channels), ...(strides === undefined ? {} : { strides }), ...(pads === undefined ? {} : { pads }),
      ...(dilations === undefined ? {} : { dilations }), ...(auto === undefined ? {} : { auto_pad: auto }),
    });
    this.#hold(output, 'f32', output);
  }
}

interface Codes {
  readonly name: string;
  readonly type: 'i8' | 'i4';
  readonly largest: number;
  /** Raised by 128. */
  unsigned(): TensorRef;
}

/** One value per channel, in front of the dimensions behind it. */
const shapeOf = (channels: number, trailing: number): number[] => (channels === 1 ? [] : [channels, ...Array<number>(trailing).fill(1)]);
