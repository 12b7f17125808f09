/** A graph as it will compute once it is quantized, in float: decoded weights, and fake quantization on activations. */
import type { NumberFormat } from '../formats/format.ts';
import { floatTensor } from '../tensor-ref.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { lower } from '../graph/composite.ts';
import type { Graph } from '../graph/graph.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { rne } from '../numeric/rounding.ts';
import { appendFakeQuantize, smallestStep } from './composites/fake-quantize.ts';
import { composites } from './composites/index.ts';

/** The graph with the weights of sites rounded to nearest in a format and decoded; undefined leaves a site alone. */
export async function simulateWeights(graph: Graph, sites: readonly Linear[], formatOf: (site: Linear) => NumberFormat | undefined): Promise<Graph> {
  const weights = new Map(graph.weights);
  for (const site of sites) {
    const format = formatOf(site);
    if (format === undefined) continue;
    const decoded = format.decode(format.encode(await site.weightMatrix(), site.rows, site.cols, { name: site.id }));
    weights.set(site.id, floatTensor(site.id, site.weight.shape, storedOrder(site, decoded)));
  }
  return { ...graph, weights };
}

/** Codes of an affine quantizer over a range that is first widened to hold zero, so that zero is exact. */
export function affineCodes({ low, high }: { readonly low: number; readonly high: number }, bits: number): { readonly scale: number; readonly zero: number; readonly codes: number } {
  const codes = 2 ** bits - 1;
  const [from, to] = [Math.min(low, 0), Math.max(high, 0)];
  const scale = to > from ? Math.max((to - from) / codes, smallestStep) : 1;
  return { scale, zero: Math.min(codes, Math.max(0, rne(-from / scale))), codes };
}

/** How readers see a value: codes `low` to `high`, `scale` apart. */
export interface ValueQuantizer { readonly scale: number; readonly zero?: number; readonly low: number; readonly high: number }

/** The graph with every named value seen by its readers through a quantizer; composites stay in it. */
export function quantizeValues(graph: Graph, quantizers: ReadonlyMap<string, ValueQuantizer>): Graph {
  const tape = new GraphTape(freshNames(graph));
  const replaced = new Map<string, string>();
  for (const [value, { scale, zero, low, high }] of quantizers) {
    replaced.set(value, appendFakeQuantize(tape, zero === undefined ? [value, tape.constant(scale)] : [value, tape.constant(scale), tape.constant(zero)], { low, high }));
  }
  const nodes = graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => replaced.get(name) ?? name) }));
  const next: Graph = {
    ...graph, nodes: [...nodes, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]),
  };
  return { ...next, nodes: sortNodes(next) };
}

/** The graph with every named value seen by its readers through an affine quantizer of `bits` bits over its range. */
export function simulateActivations(graph: Graph, ranges: ReadonlyMap<string, { readonly low: number; readonly high: number }>, bits: number): Graph {
  return lower(quantizeValues(graph, new Map([...ranges].map(([value, range]) => {
    const { scale, zero, codes } = affineCodes(range, bits);
    return [value, { scale, zero, low: 0, high: codes }];
  }))), composites);
}
