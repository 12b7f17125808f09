/**
 * Quantization-aware training: fake quantization on the weights and inputs of linear sites, with step sizes that learn
 * (LSQ, arXiv:1902.08153). One activation quantizer per value, whoever reads it; batch normalization stays where it is.
 */
import type { Graph, Node, ValueInfo } from '../graph/graph.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { floatTensor } from '../tensor-ref.ts';
import { appendFakeQuantize, smallestStep } from './composites/fake-quantize.ts';

export interface SiteBits {
  /** Bits of the weight, symmetric per output channel; undefined stays float. */
  readonly weight: number | undefined;
  /** Bits of the input, per tensor: unsigned where it was never negative. */
  readonly activation: number | undefined;
}

/** What a value looks like on data. */
export interface ActivationSummary { readonly meanAbsolute: number; readonly min: number }

export interface QuantizationAware {
  readonly graph: Graph;
  /** Names of the step sizes, to be trained. */
  readonly scales: readonly string[];
}

/** Values that `insertFakeQuantize` must know the summary of. */
export const quantizedInputs = (graph: Graph, bitsOf: (site: Linear) => SiteBits): string[] =>
  [...new Set(linearSites(graph).filter((site) => bitsOf(site).activation !== undefined).map((site) => site.input))];

/** Appends fake quantization at every site that `bitsOf` names; `summaryOf` knows what a site's input looks like. */
export async function insertFakeQuantize(
  graph: Graph, bitsOf: (site: Linear) => SiteBits, summaryOf: (site: Linear) => ActivationSummary,
): Promise<QuantizationAware> {
  const tape = new GraphTape(freshNames(graph));
  const view = viewOf(graph);
  const scales: string[] = [];
  const values = new Map<string, ValueInfo>(graph.values);
  const replaced = new Map<string, string>();
  const nodes = new Map<Node, Node>();
  const noted = (value: string, like: string): string => {
    const info = view.info(like);
    if (info !== undefined) values.set(value, { ...info, name: value });
    return value;
  };
  const step = (name: string, shape: readonly number[], start: Float32Array): string => {
    const weight = tape.weight(floatTensor(name, shape, start));
    scales.push(weight);
    return weight;
  };
  for (const site of linearSites(graph)) {
    const { weight: weightBits, activation: activationBits } = bitsOf(site);
    let [input, weight] = [site.input, site.id];
    if (weightBits !== undefined) {
      weight = replaced.get(site.id) ?? await weightQuantizer(site, weightBits, tape, step);
      replaced.set(site.id, noted(weight, site.id));
    }
    if (activationBits !== undefined) {
      const known = replaced.get(site.input);
      if (known === undefined) {
        const { meanAbsolute, min } = summaryOf(site);
        const [low, high] = min < 0 ? [-(2 ** (activationBits - 1)), 2 ** (activationBits - 1) - 1] : [0, 2 ** activationBits - 1];
        const start = Math.max((2 * meanAbsolute) / Math.sqrt(high), smallestStep);
        const count = (view.info(site.input)?.shape ?? []).reduce<number>((product, dim) => product * (typeof dim === 'number' ? dim : 1), 1);
        input = appendFakeQuantize(tape, [site.input, step(`${site.id}/input_step`, [], Float32Array.of(start))], { low, high, gradientScale: 1 / Math.sqrt(count * high) });
        replaced.set(site.input, noted(input, site.input));
      } else input = known;
    }
    nodes.set(site.node, { ...site.node, inputs: site.node.inputs.map((name) => (name === site.input ? input : name === site.id ? weight : name)) });
  }
  const next: Graph = {
    ...graph, values, nodes: [...graph.nodes.map((node) => nodes.get(node) ?? node), ...tape.take()],
    weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]),
  };
  return { scales, graph: { ...next, nodes: sortNodes(next) } };
}

/** Steps per output channel, starting at 2·mean|w| / √high. */
async function weightQuantizer(site: Linear, bits: number, tape: GraphTape, step: (name: string, shape: readonly number[], start: Float32Array) => string): Promise<string> {
  const [low, high] = bits === 1 ? [-1, 1] : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  const matrix = await site.weightMatrix();
  const start = new Float32Array(site.rows);
  for (let row = 0; row < site.rows; row++) {
    let sum = 0;
    for (let i = 0; i < site.cols; i++) sum += Math.abs(matrix[row * site.cols + i]);
    start[row] = Math.max((2 * sum) / site.cols / Math.sqrt(high), smallestStep);
  }
  return appendFakeQuantize(tape, [site.id, step(`${site.id}/step`, channelShape(site), start)], { low, high, gradientScale: 1 / Math.sqrt(site.cols * high) });
}

/** Shape under which one number per output channel broadcasts against the weight as it is stored. */
export function channelShape({ kind, weight: { shape }, transposed, rows }: Linear): number[] {
  if (kind === 'ConvTranspose') return [1, rows, ...shape.slice(2).map(() => 1)];
  if (kind === 'Conv') return [rows, ...shape.slice(1).map(() => 1)];
  return transposed ? [1, rows] : [rows, 1];
}
