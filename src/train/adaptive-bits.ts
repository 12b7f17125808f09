/**
 * One network at many bit-widths (arXiv:2502.01199): weights stored as integers of the most bits are read at fewer by rounding
 * twice, activations have one learned step per width, batch normalization one set of parameters per width. The graph has one
 * more input, `bits`: the width of each layer, so that one graph trains and judges every choice.
 */
import type { Dim, Graph, Node, ValueInfo } from '../graph/graph.ts';
import { int } from '../graph/build.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames, removeDeadNodes } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { readFloats } from '../graph/values.ts';
import { floatTensor, memoryTensor } from '../tensor-ref.ts';
import { appendDoubleRound } from './composites/double-round.ts';
import { smallestStep } from './composites/fake-quantize.ts';
import { channelShape } from './quantization-aware.ts';

/** `independent`: every width has scales of its own and rounds from float; nothing is stored. */
export type ReadingRule = 'round' | 'floor' | 'independent';

export interface AdaptiveOptions {
  /** Widths by falling order; the first is stored. */
  readonly widths: readonly number[];
  readonly rule: ReadingRule;
  /** Sites that are read at the widths; others, and transposed convolutions, stay float. */
  isChosen(site: Linear): boolean;
  /** Mean magnitude of an input of such a site on data. */
  meanOf(site: Linear): number;
  /** Whether an input goes below zero, and so needs codes that do; default never. */
  isSigned?(site: Linear): boolean;
}

/** Parameters of one layer of an adaptive network. */
export interface AdaptiveLayer {
  readonly site: Linear;
  /** Scales of the weight: one per channel, or one row per width. */
  readonly scale: string;
  /** Steps of the input, one per width. */
  readonly steps: string;
}

export interface AdaptiveNetwork {
  readonly graph: Graph;
  readonly layers: readonly AdaptiveLayer[];
  /** Tables of batch normalization, [widths, channels], that are learned. */
  readonly norms: readonly string[];
  /** Tables of running statistics, by the value that reads the width in use and the width's one-hot row. */
  readonly statistics: readonly { readonly table: string; readonly inUse: string; readonly row: string }[];
}

/** Name of the added input: int64 [layers]. */
export const bitsInput = 'bits';

/** The graph, of known shapes, that reads its layers at the widths of its input `bits`. */
export async function adaptBits(graph: Graph, options: AdaptiveOptions): Promise<AdaptiveNetwork> {
  return new AdaptiveWriter(graph, options).write();
}

class AdaptiveWriter {
  readonly #graph: Graph;
  readonly #options: AdaptiveOptions;
  readonly #tape: GraphTape;
  readonly #values: Map<string, ValueInfo>;
  readonly #norms: string[] = [];
  readonly #statistics: { table: string; inUse: string; row: string }[] = [];
  /** [layers, widths], 1 where a layer has a width. */
  #chosen = '';

  constructor(graph: Graph, options: AdaptiveOptions) {
    this.#graph = graph;
    this.#options = options;
    this.#tape = new GraphTape(freshNames(graph));
    this.#values = new Map(graph.values);
  }

  async write(): Promise<AdaptiveNetwork> {
    const graph = this.#graph;
    const view = viewOf(graph);
    const tape = this.#tape;
    const sites = linearSites(graph).filter((site) => site.kind !== 'ConvTranspose' && this.#options.isChosen(site));
    const isWidth = tape.op('Equal', [tape.op('Unsqueeze', [bitsInput, tape.ints([1])]), tape.ints(this.#options.widths)]);
    this.#chosen = tape.op('Cast', [isWidth], { to: int(1) });
    const layers: AdaptiveLayer[] = [];
    const changed = new Map<Node, Node>();
    for (const [index, site] of sites.entries()) {
      const row = this.#row(index);
      const { made: weight, scale } = await this.#weight(site, row);
      const { made: input, steps } = this.#input(site, row);
      layers.push({ site, scale, steps });
      changed.set(site.node, { ...site.node, inputs: site.node.inputs.map((name) => (name === site.input ? input : name === site.id ? weight : name)) });
      const norm = view.onlyConsumer(site.output);
      if (norm?.op === 'BatchNormalization' && norm.inputs[0] === site.output) changed.set(norm, await this.#switchable(norm, row));
    }
    const next: Graph = {
      ...graph, values: this.#values, weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]),
      inputs: [...graph.inputs, { name: bitsInput, type: 'i64', shape: [sites.length] }],
      nodes: [...tape.take(), ...graph.nodes.map((node) => changed.get(node) ?? node)],
    };
    return { graph: removeDeadNodes({ ...next, nodes: sortNodes(next) }), layers, norms: this.#norms, statistics: this.#statistics };
  }

  /** One-hot [1, widths] of a layer. */
  #row(layer: number): string {
    return this.#tape.op('Gather', [this.#chosen, this.#tape.ints([layer])], { axis: int(0) });
  }

  /** The row of a table [widths, n] that is in use, [n]. */
  #pick(row: string, table: string): string {
    return this.#tape.op('Squeeze', [this.#tape.op('MatMul', [row, table]), this.#tape.ints([0])]);
  }

  /** A number that depends on the width in use, known in advance: a single number. */
  #constant(row: string, of: (width: number) => number): string {
    const table = this.#tape.weight(floatTensor('widths', [this.#options.widths.length, 1], Float32Array.from(this.#options.widths, of)));
    return this.#tape.op('Squeeze', [this.#tape.op('MatMul', [row, table]), this.#tape.ints([0, 1])]);
  }

  async #weight(site: Linear, row: string): Promise<{ readonly made: string; readonly scale: string }> {
    const { widths, rule } = this.#options;
    const tape = this.#tape;
    const [stored] = widths;
    const reach = await reachOf(site);
    const startOf = (width: number): Float32Array => reach.map((value) => Math.max(value / 2 ** (width - 1), smallestStep));
    const [low, high] = [this.#constant(row, (width) => -(2 ** (width - 1))), this.#constant(row, (width) => 2 ** (width - 1) - 1)];
    let [scale, inUse, factor] = ['', '', tape.constant(1)];
    if (rule === 'independent') {
      const starts = widths.map(startOf);
      scale = tape.weight(floatTensor(`${site.id}/scale`, [widths.length, site.rows], Float32Array.from({ length: widths.length * site.rows }, (_, i) => starts[Math.floor(i / site.rows)][i % site.rows])));
      inUse = tape.op('Reshape', [tape.op('MatMul', [row, scale]), tape.ints(channelShape(site))]);
    } else {
      scale = inUse = tape.weight(floatTensor(`${site.id}/scale`, channelShape(site), startOf(stored)));
      factor = this.#constant(row, (width) => 2 ** (stored - width));
    }
    const made = appendDoubleRound(tape, [site.id, inUse, factor, low, high], { stored, rule: rule === 'independent' ? 'direct' : rule, count: site.cols });
    return { made: this.#noted(made, site.weight.shape), scale };
  }

  #input(site: Linear, row: string): { readonly made: string; readonly steps: string } {
    const { widths, meanOf, isSigned } = this.#options;
    const tape = this.#tape;
    const mean = meanOf(site);
    const signed = isSigned?.(site) === true;
    const highest = (width: number): number => (signed ? 2 ** (width - 1) : 2 ** width) - 1;
    const steps = tape.weight(floatTensor(`${site.id}/input_step`, [widths.length, 1], Float32Array.from(widths, (width) => Math.max((2 * mean) / Math.sqrt(highest(width)), smallestStep))));
    const shape = this.#values.get(site.input)?.shape ?? this.#graph.inputs.find(({ name }) => name === site.input)?.shape;
    const count = (shape ?? []).reduce<number>((product, dim) => product * (typeof dim === 'number' ? dim : 1), 1);
    const inUse = tape.op('Squeeze', [tape.op('MatMul', [row, steps]), tape.ints([0, 1])]);
    const low = signed ? this.#constant(row, (width) => -(2 ** (width - 1))) : tape.constant(0);
    const made = appendDoubleRound(tape, [site.input, inUse, tape.constant(1), low, this.#constant(row, highest)], { stored: widths[0], rule: 'direct', count });
    return { made: this.#noted(made, shape), steps };
  }

  /** Batch normalization with the parameters and statistics of the width in use. */
  async #switchable(node: Node, row: string): Promise<Node> {
    const [x, ...parameters] = node.inputs;
    const names: string[] = [];
    for (const [i, name] of parameters.entries()) {
      const values = await readFloats(this.#graph.weights.get(name)!);
      const { length } = this.#options.widths;
      const table = this.#tape.weight(floatTensor(`${name}/widths`, [length, values.length], Float32Array.from({ length: length * values.length }, (_, at) => values[at % values.length])));
      const inUse = this.#noted(this.#pick(row, table), [values.length]);
      if (i < 2) this.#norms.push(table);
      else this.#statistics.push({ table, inUse, row });
      names.push(inUse);
    }
    return { ...node, inputs: [x, ...names] };
  }

  #noted(name: string, shape: readonly Dim[] | undefined): string {
    this.#values.set(name, { name, type: 'f32', shape });
    return name;
  }
}

/** max(|mean − 3σ|, |mean + 3σ|) of each row. */
async function reachOf(site: Linear): Promise<Float32Array> {
  const matrix = await site.weightMatrix();
  return Float32Array.from({ length: site.rows }, (_, row) => {
    let [sum, square] = [0, 0];
    for (let i = row * site.cols; i < (row + 1) * site.cols; i++) { sum += matrix[i]; square += matrix[i] ** 2; }
    const mean = sum / site.cols;
    const deviation = Math.sqrt(Math.max(0, square / site.cols - mean ** 2));
    return Math.max(Math.abs(mean - 3 * deviation), Math.abs(mean + 3 * deviation));
  });
}

/** The graph with `bits` set once and for all. */
export function atBits(graph: Graph, bits: readonly number[]): Graph {
  const data = BigInt64Array.from(bits, BigInt);
  return { ...graph, inputs: graph.inputs.filter(({ name }) => name !== bitsInput), weights: new Map(graph.weights).set(bitsInput, memoryTensor(bitsInput, 'i64', [bits.length], new Uint8Array(data.buffer))) };
}
