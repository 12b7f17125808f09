/**
 * A float network with folded batch normalization as an integer network (HAWQ-V3, arXiv:2011.10680, section 3).
 *
 * What a layer multiplies is narrow (8 bits, or the width of the layer); what is added, pooled or joined keeps 16, as the
 * residual stream of the paper's code does. Codes are symmetric, or begin at 0 where values do. Three things are done
 * otherwise than there: 8-bit codes after ReLU use all 256 steps, a pool is a sum whose division is part of the rescaling
 * (so negative means are rounded like positive ones), and halves are rounded upward.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, storedOrder, type Linear } from '../graph/linear.ts';
import { freshNames, type Fresh } from '../graph/rewrite.ts';
import { label } from '../graph/traverse.ts';
import { readFloats, readNumbers } from '../graph/values.ts';
import type { IntegerNetwork, IntegerOp, IntegerValue, IntegerWeight } from '../engine/integer/network.ts';
import { dyadic, rescaler } from '../numeric/dyadic.ts';
import { rne } from '../numeric/rounding.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { clamps, errors, partsOf, poolSize, pools, refuse, shapesOf, type Made, type Parts, type Shapes } from './integer-parts.ts';
import { integerRefusal, isAsymmetric } from './onnx-int8.ts';

export interface IntegerNetworkOptions {
  /** By `Linear.id`: symmetric integers of 8 bits or less with one scale per output channel or matrix. */
  readonly weights: ReadonlyMap<string, QuantizedMatrix>;
  /** By value name: what `integerValues` lists. */
  readonly ranges: ReadonlyMap<string, Range>;
  /** Bits of what a layer multiplies; default 8. */
  activationBits?(site: Linear): number;
  /** Bits of what is added, pooled or joined; default 16. */
  readonly residualBits?: number;
}

export interface Range { readonly low: number; readonly high: number }

/** Largest bias code: a step of it is far below one of the result, and it leaves room for the sum it is added to. */
const biasLimit = 2 ** 22;
export async function integerNetwork(graph: Graph, options: IntegerNetworkOptions): Promise<IntegerNetwork> {
  const quantized = linearSites(graph).filter(({ id }) => options.weights.has(id));
  if (quantized.length === 0) throw errors.noLayer({});
  for (const site of quantized) {
    const matrix = options.weights.get(site.id)!;
    const reason = site.kind === 'ConvTranspose' ? 'transposed convolutions have no integer form here' : integerRefusal(site, matrix) ?? (isAsymmetric(matrix) ? 'zero points have no place here' : undefined);
    if (reason !== undefined) throw errors.float({ weight: site.id, reason });
  }
  return new Builder(graph, await shapesOf(graph), partsOf(graph, quantized), options).build();
}

class Builder {
  readonly #graph: Graph;
  readonly #shapes: Shapes;
  readonly #parts: Parts;
  readonly #options: IntegerNetworkOptions;
  readonly #fresh: Fresh;
  readonly #ops: IntegerOp[] = [];
  readonly #values = new Map<string, IntegerValue>();
  /** Bits that each float value is wanted with. */
  readonly #wanted = new Map<string, Set<number>>();
  /** Codes of a float value, by their bits; its sums under 0, where it is the result of a layer. */
  readonly #codes = new Map<string, Map<number, IntegerValue>>();
  readonly #ranges: Map<string, Range>;
  readonly #wideBits: number;
  readonly #made: ReadonlyMap<string, Made>;

  constructor(graph: Graph, shapes: Shapes, parts: Parts, options: IntegerNetworkOptions) {
    this.#graph = graph;
    this.#shapes = shapes;
    this.#parts = parts;
    this.#options = options;
    this.#fresh = freshNames(graph);
    this.#ranges = new Map(options.ranges);
    this.#wideBits = options.residualBits ?? 16;
    this.#made = new Map(parts.made.flatMap((one) => (one.node.op === 'Split' ? one.node.outputs.map((value): [string, Made] => [value, { ...one, value }]) : [[one.value, one] as [string, Made]])));
  }

  async build(): Promise<IntegerNetwork> {
    const { made, tail } = this.#parts;
    for (const one of made) await refuse(one, this.#graph, this.#shapes);
    const read = new Set([...tail.flatMap((node) => node.inputs), ...this.#graph.outputs.map(({ name }) => name)]);
    const shown = [...this.#made.keys()].filter((value) => read.has(value));
    for (const value of shown) this.#wantWide(value);
    for (const one of made.toReversed()) this.#wantInputs(one);
    for (const { name } of this.#graph.inputs) if (this.#wanted.has(name)) this.#quantize(name);
    for (const one of made) await this.#make(one);
    for (const value of shown) this.#ops.push({ op: 'dequantize', input: this.#best(value).name, output: value });
    return { source: this.#graph, ops: this.#ops, values: this.#values, tail };
  }

  // What is wanted of each value, from the last node to the first.

  #want(value: string, bits: number): void {
    const found = this.#wanted.get(value);
    if (found === undefined) this.#wanted.set(value, new Set([bits]));
    else found.add(bits);
  }

  /** Sums of a layer that nothing clamps are as good as wide codes. */
  #wantWide(value: string): void {
    if (!this.#hasSums(value)) this.#want(value, this.#wideBits);
  }

  #hasSums(value: string): boolean {
    const one = this.#made.get(value);
    return one?.site !== undefined && one.clamp === undefined;
  }

  #wantInputs({ node, site, value }: Made): void {
    if (site !== undefined) this.#want(site.input, this.#options.activationBits?.(site) ?? 8);
    else if (node.op === 'Concat' || node.op === 'Add' || clamps.has(node.op)) for (const input of node.inputs.slice(0, clamps.has(node.op) ? 1 : undefined)) this.#wantWide(input);
    else if (pools.has(node.op)) this.#want(node.inputs[0], this.#wideBits);
    else this.#want(node.inputs[0], Math.max(...(node.op === 'Split' ? node.outputs : [value]).flatMap((output) => this.#bitsOf(output))));
  }

  // Values and their codes.

  /** Widest first. */
  #bitsOf = (value: string): number[] => [...this.#wanted.get(value) ?? []].sort((a, b) => b - a);

  #range(value: string): Range {
    const found = this.#ranges.get(value);
    if (found === undefined) throw errors.range({ value });
    return found;
  }

  #grid(value: string, bits: number): { scale: number; low: number; high: number } {
    const { low, high } = this.#range(value);
    const unsigned = low >= 0;
    const most = unsigned ? 2 ** bits - 1 : 2 ** (bits - 1) - 1;
    const scale = Math.fround(Math.max(Math.abs(low), Math.abs(high)) / most);
    return { scale: scale > 0 ? scale : 1, low: unsigned ? 0 : -most - 1, high: most };
  }

  #value(stem: string, low: number, high: number, scales: Float64Array, trailing: number): IntegerValue {
    const value: IntegerValue = { name: this.#fresh(stem), low, high, scales, trailing };
    this.#values.set(value.name, value);
    return value;
  }

  #keep(value: string, bits: number, codes: IntegerValue): void {
    const found = this.#codes.get(value);
    if (found === undefined) this.#codes.set(value, new Map([[bits, codes]]));
    else found.set(bits, codes);
  }

  /** Sums of a layer, else the widest codes. */
  #best(value: string): IntegerValue {
    const codes = this.#codes.get(value)!;
    return codes.get(0) ?? codes.get(Math.max(...codes.keys()))!;
  }

  /** Codes under another scale, clamped to [low, high]; without bounds, what the codes can become. */
  #rescale(from: IntegerValue, stem: string, scale: number, bounds?: { readonly low: number; readonly high: number }): IntegerValue {
    const factors = Array.from(from.scales, (own) => dyadic(own / scale));
    const { low, high } = bounds ?? { low: Math.min(...factors.map((factor) => rescaler(factor)(from.low))), high: Math.max(...factors.map((factor) => rescaler(factor)(from.high))) };
    if (from.scales.every((own) => own === scale) && from.low >= low && from.high <= high) return from;
    const to = this.#value(stem, low, high, Float64Array.of(scale), from.trailing);
    this.#ops.push({ op: 'rescale', input: from.name, output: to.name, factors });
    return to;
  }

  /** Codes of every width that is wanted: the widest from what was computed, the others from the widest. */
  async #codesFrom({ value, clamp }: Made, from: (widest: { scale: number; low: number; high: number }, stem: string) => IntegerValue): Promise<void> {
    const bits = this.#bitsOf(value);
    let widest: IntegerValue | undefined;
    for (const width of bits) {
      const bounds = await this.#clamped(clamp, this.#grid(value, width));
      const stem = `${value}_int${width}`;
      const codes = widest === undefined ? from(bounds, stem) : this.#rescale(widest, stem, bounds.scale, bounds);
      widest ??= codes;
      this.#keep(value, width, codes);
    }
  }

  /** A grid cut to what a clamp lets pass. */
  async #clamped(clamp: Node | undefined, { scale, low, high }: { scale: number; low: number; high: number }): Promise<{ scale: number; low: number; high: number }> {
    if (clamp === undefined) return { scale, low, high };
    if (clamp.op === 'Relu') return { scale, low: Math.max(0, low), high };
    const bound = async (index: number, fallback: number): Promise<number> => {
      const weight = this.#graph.weights.get(clamp.inputs[index] ?? '');
      return weight === undefined ? fallback : rne((await readNumbers(weight))[0] / scale);
    };
    return { scale, low: Math.max(low, await bound(1, low)), high: Math.min(high, await bound(2, high)) };
  }

  // Nodes, from the first to the last.

  #quantize(input: string): void {
    let widest: IntegerValue | undefined;
    for (const width of this.#bitsOf(input)) {
      const { scale, low, high } = this.#grid(input, width);
      const stem = `${input}_int${width}`;
      if (widest === undefined) {
        widest = this.#value(stem, low, high, Float64Array.of(scale), 0);
        this.#ops.push({ op: 'quantize', input, output: widest.name, scale });
        this.#keep(input, width, widest);
      } else this.#keep(input, width, this.#rescale(widest, stem, scale, { low, high }));
    }
  }

  async #make(one: Made): Promise<void> {
    const { node, site, value } = one;
    if (site !== undefined) {
      const sums = await this.#products(site, value);
      if (one.clamp === undefined) this.#keep(value, 0, sums);
      await this.#codesFrom(one, ({ scale, ...bounds }, stem) => this.#rescale(sums, stem, scale, bounds));
    } else if (node.op === 'Add') {
      await this.#codesFrom(one, ({ scale, low, high }, stem) => {
        const [a, b] = node.inputs.map((input, i) => this.#rescale(this.#best(input), `${stem}_${i === 0 ? 'first' : 'second'}`, scale));
        const sum = this.#value(stem, Math.max(low, Math.min(high, a.low + b.low)), Math.min(high, Math.max(low, a.high + b.high)), Float64Array.of(scale), a.trailing);
        this.#ops.push({ op: 'add', inputs: [a.name, b.name], output: sum.name });
        return sum;
      });
    } else if (pools.has(node.op)) {
      const count = await poolSize(node, this.#graph, this.#shapes);
      const from = this.#best(node.inputs[0]);
      const sums = this.#value(`${value}_sums`, from.low * count, from.high * count, from.scales.map((scale) => scale / count), from.trailing);
      const [, channels, ...spatial] = this.#shapes(node.inputs[0])!;
      this.#ops.push({ op: 'sum', node, input: from.name, output: sums.name, channels: channels as number, axes: spatial.length });
      await this.#codesFrom(one, ({ scale, ...bounds }, stem) => this.#rescale(sums, stem, scale, bounds));
    } else if (clamps.has(node.op)) await this.#codesFrom({ ...one, clamp: node }, ({ scale, ...bounds }, stem) => this.#rescale(this.#best(node.inputs[0]), stem, scale, bounds));
    else if (node.op === 'Concat') await this.#join(one);
    else this.#move(one);
  }

  /** Values of several scales are brought to one before they are joined. */
  async #join(one: Made): Promise<void> {
    const { node, value } = one;
    if (!this.#ranges.has(value)) {
      const parts = node.inputs.map((input) => this.#range(input));
      this.#ranges.set(value, { low: Math.min(...parts.map(({ low }) => low)), high: Math.max(...parts.map(({ high }) => high)) });
    }
    await this.#codesFrom(one, ({ scale, low, high }, stem) => {
      const parts = node.inputs.map((input, i) => this.#rescale(this.#best(input), `${stem}_part${i}`, scale, { low, high }));
      const joined = this.#value(stem, low, high, Float64Array.of(scale), parts[0].trailing);
      this.#ops.push({ op: 'move', node, inputs: parts.map(({ name }) => name), outputs: [joined.name] });
      return joined;
    });
  }

  /** The widest codes are moved; narrower ones are made of the result. */
  #move({ node, value }: Made): void {
    const outputs = node.op === 'Split' ? node.outputs : [value];
    const [input] = node.inputs;
    const widest = Math.max(...outputs.flatMap((output) => this.#bitsOf(output)));
    const from = this.#codes.get(input)!.get(widest)!;
    const moved = outputs.map((output) => this.#value(`${output}_int${widest}`, from.low, from.high, from.scales, 0));
    this.#ops.push({ op: 'move', node, inputs: [from.name], outputs: moved.map(({ name }) => name) });
    outputs.forEach((output, i) => {
      this.#ranges.set(output, this.#range(input));
      this.#keep(output, widest, moved[i]);
      for (const width of this.#bitsOf(output)) {
        if (width === widest) continue;
        const { scale, ...bounds } = this.#grid(output, width);
        this.#keep(output, width, this.#rescale(moved[i], `${output}_int${width}`, scale, bounds));
      }
    });
  }

  async #products(site: Linear, value: string): Promise<IntegerValue> {
    const input = this.#codes.get(site.input)!.get(this.#options.activationBits?.(site) ?? 8)!;
    const weight = await integerWeightOf(site, this.#options.weights.get(site.id)!, input.scales[0], this.#graph);
    const reach = Math.max(Math.abs(input.low), Math.abs(input.high));
    let bound = 0;
    for (let row = 0; row < site.rows; row++) {
      let sum = Math.abs(weight.bias?.[row] ?? 0);
      for (let k = 0; k < site.cols; k++) sum += Math.abs(weight.matrix[row * site.cols + k]) * reach;
      bound = Math.max(bound, sum);
    }
    if (bound >= 2 ** 31) throw errors.wide({ node: label(site.node), bound });
    const sums = this.#value(`${value}_sums`, -bound, bound, weight.scales, site.kernel.length);
    const { id, shape, codes, bits, bias } = weight;
    this.#ops.push({ op: 'products', node: site.node, input: input.name, output: sums.name, weight: { id, shape, codes, bits, bias } });
    return sums;
  }
}

/** Codes of a layer, its bias in units of the products, and what such a unit is worth per output channel. */
async function integerWeightOf(site: Linear, matrix: QuantizedMatrix, inputScale: number, graph: Graph): Promise<IntegerWeight & { matrix: Float32Array; scales: Float64Array }> {
  const { rows, cols, id } = site;
  const { codes, scales } = await matrix.read(0, rows);
  const bias = site.bias === undefined ? undefined : await readFloats(graph.weights.get(site.bias.name)!);
  const own = Float64Array.from({ length: rows }, (_, row) => scales[scales.length === 1 ? 0 : row]);
  const integer = Float32Array.from(codes);
  for (let row = 0; row < rows; row++) {
    // A channel of next to nothing has a scale under which its bias would not fit: it gets a larger one.
    const least = Math.abs(bias?.[bias.length === 1 ? 0 : row] ?? 0) / inputScale / biasLimit;
    if (own[row] >= least) continue;
    for (let k = row * cols; k < (row + 1) * cols; k++) integer[k] = rne((integer[k] * own[row]) / least);
    own[row] = least;
  }
  const units = own.map((scale) => scale * inputScale);
  return {
    id, shape: site.weight.shape, codes: Int8Array.from(storedOrder(site, integer)), bits: matrix.format.bits,
    bias: bias === undefined ? undefined : Int32Array.from(units, (unit, row) => (unit > 0 ? rne(bias[bias.length === 1 ? 0 : row] / unit) : 0)),
    matrix: integer, scales: units,
  };
}
