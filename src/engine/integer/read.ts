/**
 * The integer network of a written graph: the forms that `export/onnx-integer.ts` gives products, rescaling and additions,
 * found again. Values bear the names of the tensors that hold them; what comes after the last layer stays float.
 */
import { defineErrors } from '../../errors.ts';
import type { Graph, Node } from '../../graph/graph.ts';
import { consumers, label, sortNodes } from '../../graph/traverse.ts';
import type { Dyadic } from '../../numeric/dyadic.ts';
import { readValue } from '../interpreter/types.ts';
import { sizeOf } from '../interpreter/value.ts';
import { moving, type IntegerNetwork, type IntegerOp, type IntegerValue, type IntegerWeight } from './network.ts';

const errors = defineErrors('integerRead', {
  form: (f: { node: string; why: string }) => [`node ${f.node}: ${f.why}`, 'the file must be one that --recipe hawqv3 or hawqv3-int8 wrote'] as const,
  none: (f: { model: string }) => [`${f.model} has no layer that computes in integers`, 'make one with fewbit quantize --recipe hawqv3-int8'] as const,
});

export async function readIntegerNetwork(graph: Graph): Promise<IntegerNetwork> {
  const reader = new Reader({ ...graph, nodes: sortNodes(graph) });
  await reader.read();
  if (!reader.ops.some(({ op }) => op === 'products')) throw errors.none({ model: graph.name });
  return { source: graph, ops: reader.ops, values: reader.values, tail: reader.tail };
}

class Reader {
  readonly ops: IntegerOp[] = [];
  readonly values = new Map<string, IntegerValue>();
  readonly tail: Node[] = [];
  readonly #graph: Graph;
  readonly #readers: Map<string, Node[]>;
  /** Tensors that hold a value, in whatever type. */
  readonly #held = new Map<string, string>();
  /** Nodes that belong to a form that was found. */
  readonly #taken = new Set<Node>();
  /** Casts of constants, by output. */
  readonly #casts = new Map<string, string>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#readers = consumers(graph);
  }

  async read(): Promise<void> {
    for (const node of this.#graph.nodes) if (!this.#taken.has(node)) await this.#add(node);
  }

  async #add(node: Node): Promise<void> {
    const [first, second] = node.inputs;
    const output = node.outputs[0];
    const codes = this.#held.get(first);
    const isConstant = (name: string): boolean => this.#graph.weights.has(name) || this.#casts.has(name);
    if (node.op === 'Cast' && isConstant(first)) this.#casts.set(output, this.#casts.get(first) ?? first);
    else if (node.op === 'Cast' && codes !== undefined) this.#held.set(output, codes);
    else if (node.op === 'Div' && this.#graph.inputs.some(({ name }) => name === first)) await this.#quantize(node);
    else if (codes === undefined) this.tail.push(node);
    else if (/^(Conv|MatMul)(Integer)?$/.test(node.op) && isConstant(second)) await this.#products(node, codes);
    else if (node.op === 'Mul' && this.#graph.weights.get(second)?.type === 'i64') await this.#rescale(node, codes);
    else if (node.op === 'Add' && this.#held.has(second)) await this.#sum(node, [codes, this.#held.get(second)!]);
    else if (node.op === 'ReduceSum') this.#reduce(node, codes);
    else if (node.op === 'Mul' && isConstant(second)) this.#dequantize(node, codes, await this.#numbers(node, second));
    else if (moving.has(node.op)) this.#move(node);
    else throw errors.form({ node: label(node), why: `${node.op} of integers is no form of an integer network` });
  }

  /** The one reader of a value, which must be of a kind. */
  #next(node: Node, op: string): Node {
    const [found, ...more] = this.#readers.get(node.outputs[0]) ?? [];
    if (found?.op !== op || more.length > 0) throw errors.form({ node: label(node), why: `${op} was expected after it` });
    this.#taken.add(found);
    return found;
  }

  async #numbers(node: Node, name: string | undefined): Promise<number[]> {
    const tensor = this.#graph.weights.get(this.#casts.get(name ?? '') ?? name ?? '');
    if (tensor === undefined) throw errors.form({ node: label(node), why: 'a constant was expected' });
    return [...(await readValue(tensor)).data];
  }

  #shape = (name: string): readonly number[] => this.#graph.weights.get(this.#casts.get(name) ?? name)!.shape;

  #hold(value: IntegerValue, op: IntegerOp): void {
    this.values.set(value.name, value);
    this.#held.set(value.name, value.name);
    this.ops.push(op);
  }

  async #clip(node: Node): Promise<IntegerValue> {
    const [, low, high] = node.inputs;
    const bounds = [...await this.#numbers(node, low), ...await this.#numbers(node, high)];
    if (bounds.length !== 2 || !bounds.every((bound) => Number.isInteger(bound) && Math.abs(bound) <= 2 ** 31)) throw errors.form({ node: label(node), why: 'its bounds are no 32-bit integers' });
    return { name: node.outputs[0], low: bounds[0], high: bounds[1], scales: Float64Array.of(1), trailing: 0 };
  }

  async #quantize(node: Node): Promise<void> {
    const [scale, ...more] = await this.#numbers(node, node.inputs[1]);
    if (more.length > 0 || !(scale > 0)) throw errors.form({ node: label(node), why: 'an input has one positive scale' });
    const value = await this.#clip(this.#next(this.#next(node, 'Round'), 'Clip'));
    this.#hold(value, { op: 'quantize', input: node.inputs[0], output: value.name, scale });
  }

  async #products(node: Node, input: string): Promise<void> {
    const [, name, third] = node.inputs;
    const whole = node.op.endsWith('Integer');
    const numbers = await this.#numbers(node, name);
    const zero = whole && node.inputs[3] !== undefined ? (await this.#numbers(node, node.inputs[3]))[0] : 0;
    if (whole && (third ?? '') !== '') throw errors.form({ node: label(node), why: 'inputs have no zero points here' });
    const codes = Int8Array.from(numbers, (code) => code - zero);
    if (codes.some((code, i) => code !== numbers[i] - zero)) throw errors.form({ node: label(node), why: 'its weights are no integers of 8 bits' });
    const op = node.op.replace('Integer', '');
    const own = op === 'Conv' && !whole && third !== undefined;
    const [after] = this.#readers.get(node.outputs[0]) ?? [];
    // A product is rescaled through Cast or Mul; an addition right behind it is its bias.
    const biased = !own && after?.op === 'Add' && this.#graph.weights.has(after.inputs[1]) ? this.#next(node, 'Add') : undefined;
    const bias = own ? Int32Array.from(await this.#numbers(node, third)) : biased === undefined ? undefined : Int32Array.from(await this.#numbers(biased, biased.inputs[1]));
    const output = (biased ?? node).outputs[0];
    const shape = this.#shape(name);
    const weight: IntegerWeight = { id: name, shape, codes, bits: 8, bias };
    const { low, high } = this.values.get(input)!;
    const reach = reachOf(codes, op === 'Conv' ? shape[0] : shape[1], op !== 'Conv') * Math.max(-low, high) + (bias?.reduce((most, code) => Math.max(most, Math.abs(code)), 0) ?? 0);
    this.#hold({ name: output, low: -reach, high: reach, scales: Float64Array.of(1), trailing: op === 'Conv' ? shape.length - 2 : 0 }, { op: 'products', node: { ...node, op, domain: '', inputs: [node.inputs[0], name] }, input, output, weight });
  }

  /** ((a · m + raise) / 2^e) − lift with raise = lift · 2^e + 2^(e−1). */
  async #rescale(node: Node, input: string): Promise<void> {
    const multipliers = await this.#numbers(node, node.inputs[1]);
    const raised = this.#next(node, 'Add');
    const divided = this.#next(raised, 'Div');
    const lowered = this.#readers.get(divided.outputs[0])?.[0]?.op === 'Sub' ? this.#next(divided, 'Sub') : undefined;
    const value = await this.#clip(this.#next(lowered ?? divided, 'Clip'));
    const [raises, divisors] = [await this.#bigs(raised), await this.#bigs(divided)];
    const lifts = lowered === undefined ? [] : await this.#bigs(lowered);
    const factors = multipliers.map((multiplier, i): Dyadic => {
      const divisor = divisors[i] ?? 0n;
      const shift = divisor > 0n ? divisor.toString(2).length - 1 : -1;
      const half = shift > 0 ? 1n << BigInt(shift - 1) : 0n;
      if (shift < 0 || 1n << BigInt(shift) !== divisor || raises[i] !== (lifts[i] ?? 0n) * divisor + half || !(multiplier >= 0 && multiplier < 2 ** 31)) throw errors.form({ node: label(node), why: 'its rescaling is not that of a dyadic number' });
      return { multiplier, shift };
    });
    const from = this.values.get(input)!;
    const behind = Math.max(0, this.#shape(node.inputs[1]).length - 1);
    if (factors.length > 1) this.values.set(input, { ...from, trailing: behind });
    this.#hold(value, { op: 'rescale', input, output: value.name, factors });
  }

  async #bigs(node: Node): Promise<bigint[]> {
    const tensor = this.#graph.weights.get(node.inputs[1]);
    if (tensor?.type !== 'i64') throw errors.form({ node: label(node), why: 'a constant of 64-bit integers was expected' });
    const bytes = (await tensor.read()).slice();
    return [...new BigInt64Array(bytes.buffer, 0, sizeOf(tensor.shape))];
  }

  async #sum(node: Node, inputs: readonly [string, string]): Promise<void> {
    const value = await this.#clip(this.#next(node, 'Clip'));
    this.#hold(value, { op: 'add', inputs, output: value.name });
  }

  #reduce(node: Node, input: string): void {
    const { low, high } = this.values.get(input)!;
    this.#hold({ name: node.outputs[0], low: low * 2 ** 16, high: high * 2 ** 16, scales: Float64Array.of(1), trailing: 0 }, { op: 'sum', node, input, output: node.outputs[0], channels: 0, axes: 0 });
  }

  #move(node: Node): void {
    const inputs = node.inputs.filter((name) => this.#held.has(name)).map((name) => this.#held.get(name)!);
    if (node.inputs.slice(0, inputs.length).some((name) => !this.#held.has(name))) throw errors.form({ node: label(node), why: 'it joins integers with other values' });
    const ranges = inputs.map((name) => this.values.get(name)!);
    for (const name of node.outputs) {
      const value: IntegerValue = { name, low: Math.min(0, ...ranges.map(({ low }) => low)), high: Math.max(0, ...ranges.map(({ high }) => high)), scales: Float64Array.of(1), trailing: ranges[0].trailing };
      this.values.set(name, value);
      this.#held.set(name, name);
    }
    this.ops.push({ op: 'move', node, inputs, outputs: node.outputs });
  }

  #dequantize(node: Node, input: string, scales: readonly number[]): void {
    const value = this.values.get(input)!;
    this.values.set(input, { ...value, scales: Float64Array.from(scales), trailing: Math.max(0, this.#shape(node.inputs[1]).length - 1) });
    this.ops.push({ op: 'dequantize', input, output: node.outputs[0] });
  }
}

/** Largest Σ|code| of an output; outputs lie along the last axis where `last`. */
function reachOf(codes: Int8Array, outputs: number, last: boolean): number {
  const sums = new Float64Array(outputs);
  const inEach = codes.length / outputs;
  codes.forEach((code, i) => { sums[last ? i % outputs : Math.floor(i / inEach)] += Math.abs(code); });
  return sums.reduce((most, sum) => Math.max(most, sum), 0);
}
