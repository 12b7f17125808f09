/**
 * Quantization-aware training of networks whose batch normalization will be folded into the layer before
 * (arXiv:1806.08342, section 3.2.2): what is quantized in training are the folded weights, and how they are folded decides
 * whether training settles.
 *
 * `batch`: by the statistics of the batch, γW/σ_B. Weights jump from batch to batch; the baseline.
 * `corrected`: by the long-term statistics, γW/σ; the result is divided by σ_B/σ, so that it is batch normalization still.
 * `frozen`: long-term statistics alone, as in inference; they no longer move.
 */
import type { Dim, Graph, Node, ValueInfo } from '../graph/graph.ts';
import { float, float32Tensor, int } from '../graph/build.ts';
import { compositeDomain } from '../graph/composite.ts';
import { batchNormTraining } from '../graph/gradient/batchnorm.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames, removeDeadNodes } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { appendRangeQuantize } from './composites/range-quantize.ts';

export type Folding = 'batch' | 'corrected' | 'frozen';

export interface QuantizeFoldedOptions {
  readonly folding: Folding;
  /** Bits of a site's weight, symmetric per output channel; undefined leaves it float. */
  weightBits(site: Linear): number | undefined;
  /** Bits of activations, affine per tensor. */
  readonly activationBits: number;
  /** Where the ranges of the activations to quantize start, by value. */
  readonly ranges: ReadonlyMap<string, { readonly low: number; readonly high: number }>;
  /** Share of the old statistics and ranges that a step keeps; default 0.99. */
  readonly momentum?: number;
}

export interface FoldedTraining {
  readonly graph: Graph;
  /** Weights that a step replaces by a computed value; none once frozen. */
  readonly carry: ReadonlyMap<string, string>;
  /** Values of the quantized weights, by the weight they are made of. */
  readonly quantized: ReadonlyMap<string, string>;
  /** Weights that hold the ends of the range of an activation. */
  readonly ends: ReadonlyMap<string, { readonly low: string; readonly high: string }>;
}

/** The graph, of known shapes, as training sees it. Graphs of all three foldings have the same weights by the same names. */
export function quantizeFolded(graph: Graph, options: QuantizeFoldedOptions): FoldedTraining {
  return new FoldedWriter(graph, options).write();
}

class FoldedWriter {
  readonly #graph: Graph;
  readonly #options: QuantizeFoldedOptions;
  readonly #tape: GraphTape;
  readonly #values: Map<string, ValueInfo>;
  readonly #carry = new Map<string, string>();
  readonly #quantized = new Map<string, string>();

  constructor(graph: Graph, options: QuantizeFoldedOptions) {
    this.#graph = graph;
    this.#options = options;
    this.#tape = new GraphTape(freshNames(graph));
    this.#values = new Map(graph.values);
  }

  write(): FoldedTraining {
    const graph = this.#graph;
    const view = viewOf(graph);
    const written = new Map<Node, readonly Node[]>();
    for (const site of linearSites(graph)) {
      const next = view.onlyConsumer(site.output);
      const bits = this.#options.weightBits(site);
      if (site.kind === 'Conv' && next?.op === 'BatchNormalization' && next.inputs[0] === site.output) {
        this.#normalised(site, next, bits);
        written.set(next, this.#tape.take());
      } else if (bits !== undefined) {
        const weight = this.#weight(site, site.id, bits);
        written.set(site.node, [...this.#tape.take(), { ...site.node, inputs: site.node.inputs.map((name) => (name === site.id ? weight : name)) }]);
      }
    }
    const ends = new Map<string, { low: string; high: string }>();
    const shown = new Map<string, string>();
    for (const [value, range] of this.#options.ranges) {
      const made = this.#activation(value, range);
      ends.set(value, made);
      shown.set(value, made.output);
    }
    const quantizers = this.#tape.take();
    const nodes = graph.nodes.flatMap((node) => written.get(node) ?? [node]);
    const next: Graph = {
      ...graph, values: this.#values, opset: new Map([...graph.opset, ...this.#tape.opset]), weights: new Map([...graph.weights, ...this.#tape.weights]),
      nodes: [...nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => shown.get(name) ?? name) })), ...quantizers],
    };
    const kept = [...this.#carry.values(), ...this.#quantized.values()].map((name): ValueInfo => ({ name, type: 'f32', shape: undefined }));
    const alive = removeDeadNodes({ ...next, nodes: sortNodes(next), outputs: [...graph.outputs, ...kept] });
    return { graph: { ...alive, outputs: graph.outputs }, carry: this.#carry, quantized: this.#quantized, ends };
  }

  /** A convolution and its batch normalization; the convolution itself goes on only to measure the batch. */
  #normalised(site: Linear, norm: Node, bits: number | undefined): void {
    const { folding } = this.#options;
    const { id, node, weight } = site;
    const tape = this.#tape;
    const [x, , bias = ''] = node.inputs;
    const [, gamma, beta, mean, variance] = norm.inputs;
    const [y] = norm.outputs;
    const epsilon = norm.attributes.epsilon?.kind === 'float' ? norm.attributes.epsilon.value : 1e-5;
    const deviation = (value: string): string => tape.op('Sqrt', [tape.op('Add', [value, tape.constant(epsilon)])]);
    const shiftOf = (centre: string, gain: string): string =>
      tape.op('Sub', [beta, tape.op('Mul', [bias === '' ? centre : tape.op('Sub', [centre, bias]), gain])]);

    const batch = folding === 'frozen' ? undefined : this.#statistics(site, gamma, beta, epsilon);
    if (batch !== undefined) {
      this.#follow(mean, batch.mean);
      this.#follow(variance, batch.variance);
    }
    const longTerm = deviation(variance);
    const ofBatch = batch === undefined ? longTerm : deviation(batch.variance);
    const gain = tape.op('Div', [gamma, folding === 'batch' ? ofBatch : longTerm]);
    const folded = this.#noted(tape.op('Mul', [id, tape.op('Unsqueeze', [gain, tape.ints(weight.shape.slice(1).map((_, i) => i + 1))])]), weight.shape);
    const used = bits === undefined ? folded : this.#weight(site, folded, bits);
    if (batch === undefined || folding === 'batch') {
      tape.named('Conv', [x, used, shiftOf(batch?.mean ?? mean, gain)], y, node.attributes);
      return;
    }
    const product = this.#noted(tape.op('Conv', [x, used], node.attributes), this.#shapeOf(node.outputs[0]));
    // An affine map per channel: the engine's operator with mean 0 and variance 1 does it in one pass.
    const all = (value: number): string => tape.op('Expand', [tape.constant(value), tape.ints([site.rows])]);
    tape.named('BatchNormalization', [product, tape.op('Div', [longTerm, ofBatch]), shiftOf(batch.mean, tape.op('Div', [gamma, ofBatch])), all(0), all(1)], y, { epsilon: float(0) });
  }

  /** Mean and variance of the batch, by the composite whose gradients are short. */
  #statistics({ output, rows, weight }: Linear, gamma: string, beta: string, epsilon: number): { readonly mean: string; readonly variance: string } {
    const outputs = this.#tape.node(batchNormTraining.op, [output, gamma, beta], {
      domain: compositeDomain, outputs: 4, attributes: { epsilon: float(epsilon), rank: int(weight.shape.length), channels: int(rows) },
    });
    const shape = this.#shapeOf(output);
    outputs.forEach((made, i) => this.#noted(made, i === 0 || i === 3 ? shape : [rows]));
    return { mean: outputs[1], variance: outputs[2] };
  }

  /** Symmetric per output channel over the extremes of the matrix as it stands. */
  #weight(site: Linear, value: string, bits: number): string {
    const axes = this.#tape.ints(site.transposed ? [0] : site.weight.shape.slice(1).map((_, i) => i + 1));
    const [low, high] = ['ReduceMin', 'ReduceMax'].map((op) => this.#tape.op(op, [value, axes], { keepdims: int(1) }));
    const made = this.#noted(appendRangeQuantize(this.#tape, [value, low, high], { bits, symmetric: true }), site.weight.shape);
    this.#quantized.set(site.id, made);
    return made;
  }

  #activation(value: string, range: { readonly low: number; readonly high: number }): { readonly output: string; readonly low: string; readonly high: string } {
    const tape = this.#tape;
    const [low, high] = (['low', 'high'] as const).map((end) => tape.weight(float32Tensor(`${value}/${end}`, range[end])));
    if (this.#options.folding !== 'frozen') {
      this.#follow(low, tape.op('ReduceMin', [value], { keepdims: int(0) }));
      this.#follow(high, tape.op('ReduceMax', [value], { keepdims: int(0) }));
    }
    return { low, high, output: this.#noted(appendRangeQuantize(tape, [value, low, high], { bits: this.#options.activationBits }), this.#shapeOf(value)) };
  }

  /** A weight that moves towards what each batch shows. */
  #follow(weight: string, seen: string): void {
    const { momentum = 0.99 } = this.#options;
    const tape = this.#tape;
    this.#carry.set(weight, tape.op('Add', [tape.op('Mul', [weight, tape.constant(momentum)]), tape.op('Mul', [seen, tape.constant(1 - momentum)])]));
  }

  #shapeOf(value: string): readonly Dim[] | undefined {
    return this.#values.get(value)?.shape ?? this.#graph.inputs.find(({ name }) => name === value)?.shape;
  }

  #noted(name: string, shape: readonly Dim[] | undefined): string {
    this.#values.set(name, { name, type: 'f32', shape });
    return name;
  }
}
