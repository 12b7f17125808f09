/**
 * The network in a graph whose operators stand between DequantizeLinear and QuantizeLinear: what `fewbit quantize` writes in
 * static int8, and ONNX Runtime's quantizer. An operator of codes takes what it reads and the rounding behind it into one; what
 * has no such form is computed in float32.
 */
import { defineErrors } from '../../errors.ts';
import type { Graph, Node } from '../../graph/graph.ts';
import { bodies, consumers, label, sortNodes } from '../../graph/traverse.ts';
import { operators } from '../interpreter/operators.ts';
import type { Value64 } from '../interpreter/value.ts';
import { callOf, movesElements } from './geometry.ts';
import { readsOf, type Codes, type Grid, type Into, type QdqNetwork, type QdqOp } from './network.ts';
import { otherOf } from './functions.ts';
import { codeOf, realOf, same, tableOf } from './grid.ts';
import { Constants } from './weights.ts';

const errors = defineErrors('qdqRead', {
  form: (f: { node: string; why: string }) => `node ${f.node}: ${f.why}`,
  operator: (f: { node: string; op: string }) => [`node ${f.node}: ${f.op} is not run here`, 'run the file with ONNX Runtime, or leave that operator out of it'] as const,
});

/** Functions of one element: with one input from codes they are tables of 256. */
const ofOneElement: ReadonlySet<string> = new Set(['Relu', 'Clip', 'LeakyRelu', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Tanh', 'Elu', 'Selu', 'Softplus', 'Softsign', 'Gelu', 'Mish', 'Exp', 'Abs', 'Neg', 'Sqrt', 'Erf', 'Floor', 'Ceil', 'Round', 'Sign', 'ThresholdedRelu', 'Celu']);

/** Whether a graph is written in this form. */
export const isQdq = (graph: Graph): boolean => graph.nodes.some(({ op }) => op === 'DequantizeLinear');

/** Domains in which quantization has been written. */
const standard = (node: Node): boolean => node.domain === '' || node.domain === 'ai.onnx' || (node.domain === 'com.microsoft' && /^(Deq|Q)uantizeLinear$/.test(node.op));

export async function readQdqNetwork(graph: Graph): Promise<QdqNetwork> {
  const nodes = sortNodes(graph).map((node): Node => (standard(node) ? { ...node, domain: '' } : node));
  const reader = new Reader({ ...graph, nodes });
  await reader.read();
  const lastUse = new Map<string, number>();
  reader.ops.forEach((one, i) => { for (const name of readsOf(one)) lastUse.set(name, i); });
  for (const { name } of graph.outputs) lastUse.set(name, reader.ops.length);
  const names = [...reader.ops.flatMap(readsOf), ...graph.outputs.map(({ name }) => name)];
  const constants = new Map<string, Value64>();
  for (const name of names) if (reader.constants.has(name)) constants.set(name, await reader.constants.get(name));
  return { source: graph, ops: reader.ops, constants, lastUse };
}

class Reader {
  readonly ops: QdqOp[] = [];
  readonly constants: Constants;
  readonly #graph: Graph;
  readonly #readers: Map<string, Node[]>;
  readonly #outputs: ReadonlySet<string>;
  /** Results of QuantizeLinear, and of DequantizeLinear by the codes they read. */
  readonly #codes = new Map<string, Codes>();
  readonly #reals = new Map<string, Codes>();
  /** Dequantized values that a float operator reads: they are floats too. */
  readonly #floats = new Set<string>();
  /** Nodes that became part of an operation before them. */
  readonly #taken = new Set<Node>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#readers = consumers(graph);
    this.#outputs = new Set(graph.outputs.map(({ name }) => name));
    this.constants = new Constants(graph);
  }

  async read(): Promise<void> {
    for (const node of this.#graph.nodes) if (!this.#taken.has(node) && !this.constants.takes(node)) await this.#add(node);
    for (const { name } of this.#graph.outputs) {
      if (this.#codes.has(name)) throw errors.form({ node: name, why: 'an output of codes is not run here: it must end in DequantizeLinear' });
      this.#asFloats(name);
    }
  }

  async #add(node: Node): Promise<void> {
    const [first] = node.inputs;
    const real = this.#reals.get(first);
    if (node.op === 'QuantizeLinear') await this.#quantize(node);
    else if (node.op === 'DequantizeLinear') await this.#dequantize(node);
    else if (/^(Conv|Gemm|MatMul)$/.test(node.op) && this.constants.has(node.inputs[1]) && await this.#products(node, real)) return;
    else if (real === undefined) this.#other(node);
    else if (node.op === 'MaxPool' && node.outputs.length === 1) this.#same(node, real, { op: 'largest', node, input: real.name, output: node.outputs[0] });
    else if (await this.#moves(node)) {
      this.ops.push({ op: 'move', node, inputs: [real.name, ...node.inputs.slice(1)], outputs: node.outputs, fill: real.grid.zero });
      for (const output of node.outputs) this.#reals.set(output, { name: output, grid: real.grid });
    } else await this.#computed(node, real);
  }

  /** What new codes are computed for, where they are rounded right behind; the rest in floats. */
  async #computed(node: Node, real: Codes): Promise<void> {
    const reals = node.inputs.map((name) => this.#reals.get(name));
    const [output] = node.outputs;
    const two = (node.op === 'Add' || node.op === 'Mul') && reals.every((one) => one !== undefined);
    const mean = /^(Global)?AveragePool$|^ReduceMean$/.test(node.op);
    const joined = node.op === 'Concat' && reals.every((one) => one !== undefined);
    const alone = ofOneElement.has(node.op) && node.inputs.slice(1).every((name) => name === '' || this.constants.has(name));
    const behind = two || mean || joined || alone ? await this.#after(output) : undefined;
    if (behind === undefined) {
      this.#other(node);
      return;
    }
    const { into } = behind;
    if (alone) this.ops.push({ op: 'table', input: real.name, output: behind.output, table: await this.#table(node, real.grid, into) });
    else if (two) this.ops.push({ op: 'join', node, inputs: [reals[0]!, reals[1]!], output: behind.output, into });
    else if (joined) this.ops.push({ op: 'concat', node, inputs: reals as Codes[], output: behind.output, into });
    else this.ops.push({ op: 'average', node, input: real, output: behind.output, into });
    this.#codes.set(behind.output, { name: behind.output, grid: into.grid });
  }

  /** Codes that another operator makes of codes, on their grid. */
  #same(node: Node, { grid }: Codes, one: QdqOp): void {
    this.ops.push(one);
    this.#reals.set(node.outputs[0], { name: node.outputs[0], grid });
  }

  /** The QuantizeLinear behind a value, through clamps, where nothing else reads it; it becomes part of what makes the value. */
  async #after(value: string): Promise<{ into: Into; output: string } | undefined> {
    const passed: Node[] = [];
    let [low, high] = [-Infinity, Infinity];
    for (let at = value; ;) {
      const [next, ...more] = this.#readers.get(at) ?? [];
      if (next === undefined || more.length > 0 || this.#outputs.has(at) || next.inputs[0] !== at || bodies(next).length > 0) return undefined;
      passed.push(next);
      if (next.op === 'QuantizeLinear') {
        const grid = await this.#grid(next);
        const code = (bound: number): number => codeOf(bound, grid);
        for (const node of passed) this.#taken.add(node);
        return { into: { grid, low: code(low), high: code(high) }, output: next.outputs[0] };
      }
      const bounds = await this.#bounds(next);
      if (bounds === undefined) return undefined;
      // The later clamp has the last word.
      [low, high] = [Math.min(bounds[1], Math.max(bounds[0], low)), Math.min(bounds[1], Math.max(bounds[0], high))];
      [at] = next.outputs;
    }
  }

  async #bounds(node: Node): Promise<[number, number] | undefined> {
    if (node.op === 'Relu') return [0, Infinity];
    if (node.op !== 'Clip') return undefined;
    const bounds = [-Infinity, Infinity];
    for (const i of [1, 2]) {
      const name = node.inputs[i] ?? '';
      if (name === '') continue;
      if (!this.constants.has(name)) return undefined;
      const { data } = await this.constants.get(name);
      if (data.length !== 1 || Number.isNaN(data[0])) return undefined;
      [bounds[i - 1]] = data;
    }
    return bounds[0] <= bounds[1] ? [bounds[0], bounds[1]] : undefined;
  }

  async #grid(node: Node): Promise<Grid> {
    const wrong = (why: string): Error => errors.form({ node: label(node), why });
    const [, scaleName, zeroName = ''] = node.inputs;
    if (!this.constants.has(scaleName) || (zeroName !== '' && !this.constants.has(zeroName))) throw wrong('scale and zero point of activations must be constants');
    const scale = await this.constants.get(scaleName);
    const zero = zeroName === '' ? undefined : await this.constants.get(zeroName);
    if (scale.data.length !== 1 || (zero !== undefined && zero.data.length !== 1)) throw wrong('activations have one scale and one zero point here');
    if (!(scale.data[0] > 0) || !Number.isFinite(scale.data[0])) throw wrong(`a scale of ${scale.data[0]} is none`);
    const type = zero?.type ?? ({ 2: 'u8', 3: 'i8' } as Record<number, string>)[callOf(node, []).int('output_dtype', 2)] ?? 'another type';
    if (type !== 'u8' && type !== 'i8') throw wrong(`activations in ${type} are not run here (u8 and i8 are)`);
    return { scale: Math.fround(scale.data[0]), zero: (zero?.data[0] ?? 0) + (type === 'i8' ? 128 : 0) };
  }

  async #quantize(node: Node): Promise<void> {
    const [input] = node.inputs;
    const [output] = node.outputs;
    const grid = await this.#grid(node);
    const real = this.#reals.get(input);
    if (real === undefined) this.ops.push({ op: 'quantize', input, output, grid });
    else if (same(real.grid, grid)) {
      this.#codes.set(output, real);
      return;
    } else this.ops.push({ op: 'table', input: real.name, output, table: tableOf(real.grid, { grid, low: 0, high: 255 }, (x) => x) });
    this.#codes.set(output, { name: output, grid });
  }

  async #dequantize(node: Node): Promise<void> {
    const codes = this.#codes.get(node.inputs[0]);
    if (codes === undefined) throw errors.form({ node: label(node), why: `${node.inputs[0]} is neither a constant nor made by QuantizeLinear` });
    const grid = node.inputs.length === 1 ? codes.grid : await this.#grid(node);
    this.#reals.set(node.outputs[0], { name: codes.name, grid });
  }

  async #products(node: Node, real: Codes | undefined): Promise<boolean> {
    const [input, weightName, biasName = ''] = node.inputs;
    const call = callOf(node, []);
    const matrix = await this.constants.get(weightName);
    const rank = matrix.shape.length;
    if (node.op === 'Conv' ? rank !== 3 && rank !== 4 : rank !== 2) return false;
    if (node.op === 'Gemm' && (call.float('alpha', 1) !== 1 || (biasName !== '' && call.float('beta', 1) !== 1) || call.flag('transA'))) return false;
    const outputAxis = node.op === 'MatMul' || (node.op === 'Gemm' && !call.flag('transB')) ? 1 : 0;
    const outputs = matrix.shape[outputAxis];
    if (matrix.data.length === 0) return false;
    if (biasName !== '') {
      if (!this.constants.has(biasName)) return false;
      const { data, shape } = await this.constants.get(biasName);
      if (data.length !== 1 && (data.length !== outputs || shape.at(-1) !== outputs)) return false;
    }
    const found = real === undefined ? undefined : await this.constants.integers(weightName, outputAxis);
    if (real === undefined || found === undefined) {
      this.#asFloats(input);
      const bias = biasName === '' ? undefined : (await this.constants.get(biasName)).data;
      this.ops.push({
        op: 'floatProducts', node, input, output: node.outputs[0], weight: await this.constants.floats(weightName, outputAxis),
        bias: Float32Array.from({ length: outputs }, (_, o) => bias?.[bias.length === 1 ? 0 : o] ?? 0),
      });
      return true;
    }
    const { weight, scales } = found;
    const sums = scales.map((scale) => real.grid.scale * scale);
    if (!sums.every((scale) => scale > 0 && Number.isFinite(scale))) return false;
    const behind = await this.#after(node.outputs[0]);
    const codes = biasName === '' ? new Float64Array(outputs) : await this.constants.bias(biasName, sums);
    // A float bias of float results is added behind the sums, as it is.
    const behindSums = behind === undefined && biasName !== '' && await this.constants.dequantized(biasName) === undefined;
    const added = behindSums ? (await this.constants.get(biasName)).data : undefined;
    if (behindSums) codes.fill(0);
    const reach = reachOf(weight.values, outputs, Math.max(real.grid.zero, 255 - real.grid.zero));
    codes.forEach((code, o) => { if (!(Math.abs(code) + reach[o] < 2 ** 31)) throw errors.form({ node: label(node), why: `sums of output ${o} do not fit in 32 bits` }); });
    const output = behind?.output ?? node.outputs[0];
    this.ops.push({
      op: 'products', node, input: real, output, into: behind?.into, weight, bias: Int32Array.from(codes),
      factors: behind === undefined ? sums : sums.map((scale) => scale / behind.into.grid.scale),
      addends: Float32Array.from({ length: outputs }, (_, o) => added?.[added.length === 1 ? 0 : o] ?? 0),
    });
    if (behind !== undefined) this.#codes.set(output, { name: output, grid: behind.into.grid });
    return true;
  }

  /** Whether a move of codes stays one: what else it reads is no codes, and padding adds zeros. */
  async #moves(node: Node): Promise<boolean> {
    if (node.inputs.slice(1).some((name) => this.#reals.has(name) || this.#codes.has(name))) return false;
    const fill = node.inputs[2] ?? '';
    return movesElements(node, fill === '' || (this.constants.has(fill) && (await this.constants.get(fill)).data.every((value) => value === 0)));
  }

  /** A function of a dequantized code, as codes again. */
  async #table(node: Node, grid: Grid, into: Into): Promise<Uint8Array> {
    const x: Value64 = { type: 'f32', shape: [256], data: Float64Array.from({ length: 256 }, (_, code) => realOf(code, grid)) };
    const others = await Promise.all(node.inputs.slice(1).map((name) => (name === '' ? undefined : this.constants.get(name))));
    const [{ data }] = await otherOf(node, [x, ...others]);
    return Uint8Array.from(data, (value) => Math.min(into.high, Math.max(into.low, codeOf(value, into.grid))));
  }

  #other(node: Node): void {
    const op = node.domain === '' || node.domain === 'ai.onnx' ? node.op : `${node.domain}:${node.op}`;
    if (!Object.hasOwn(operators, op) || bodies(node).length > 0) throw errors.operator({ node: label(node), op });
    for (const name of node.inputs) {
      if (this.#codes.has(name)) throw errors.form({ node: label(node), why: `${node.op} of codes is not run here: it must read what DequantizeLinear makes of them` });
      this.#asFloats(name);
    }
    this.ops.push({ op: 'other', node });
  }

  /** Makes a dequantized value one of floats. */
  #asFloats(name: string): void {
    const real = this.#reals.get(name);
    if (real === undefined || this.#floats.has(name)) return;
    this.#floats.add(name);
    this.ops.push({ op: 'dequantize', input: real, output: name });
  }
}

/** The largest Σ |weight · input| of each output, for inputs this far from zero. */
function reachOf(values: Int8Array, outputs: number, most: number): Float64Array {
  const sums = new Float64Array(outputs);
  const inEach = values.length / outputs;
  values.forEach((value, i) => { sums[Math.floor(i / inEach)] += Math.abs(value) * most; });
  return sums;
}
