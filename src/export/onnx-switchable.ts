/**
 * A network at many bit-widths as files hold it (arXiv:2502.01199): weights are integers of the stored width. One file either
 * keeps the width of each layer as its input `bits`, int64 [layers], and narrows the integers as it runs, or is made for given
 * widths by one pass over the integers. Both compute what training computed, to the bit.
 */
import { narrowBytes } from '../engine/kernels/nested.ts';
import { floatTensor, memoryTensor, type TensorRef } from '../tensor-ref.ts';
import { packLowFirst } from '../formats/packing/bits.ts';
import { narrowCodes } from '../formats/nested-integer.ts';
import { int } from '../graph/build.ts';
import { compositeDomain, lower } from '../graph/composite.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import { freshNames, removeDeadNodes } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { numberTensor, readFloats } from '../graph/values.ts';
import { rne } from '../numeric/rounding.ts';
import { atBits, bitsInput, type AdaptiveNetwork } from '../train/adaptive-bits.ts';
import { appendRead } from '../train/composites/double-round.ts';
import { smallestStep } from '../train/composites/fake-quantize.ts';
import { composites } from '../train/composites/index.ts';
import { channelShape } from '../train/quantization-aware.ts';

/** Metadata of a file that says how it is switched. */
export const switchableKey = 'fewbit.switchable';

/** Integers of one layer as they are stored. */
export interface StoredWeight {
  readonly codes: Int8Array;
  /** One per output channel. */
  readonly scales: Float32Array;
}

type Stored = AdaptiveNetwork & { readonly widths: readonly number[] };

/** The stored integers of every layer, by weight. */
export async function storedWeights({ graph, layers, widths: [stored] }: Stored): Promise<Map<string, StoredWeight>> {
  const found = new Map<string, StoredWeight>();
  for (const { site, scale } of layers) {
    const scales = (await readFloats(graph.weights.get(scale)!)).map((step) => Math.max(step, smallestStep));
    const weights = await readFloats(graph.weights.get(site.id)!);
    const most = 2 ** (stored - 1);
    const codes = Int8Array.from(weights, (value, i) => Math.min(most - 1, Math.max(-most, rne(Math.fround(value / scales[site.transposed ? i % site.rows : Math.floor(i / site.cols)])))));
    found.set(site.id, { codes, scales });
  }
  return found;
}

/** The graph of a file that is switched by its input `bits`; it must have been trained to round twice or to shift. */
export async function exportSwitchable(network: Stored): Promise<Graph> {
  const stored = await storedWeights(network);
  const { graph } = network;
  const tape = new GraphTape(freshNames(graph));
  const rule = graph.nodes.some((node) => stored.has(node.inputs[0]) && node.attributes.rule?.value === 'floor') ? 'floor' : 'round';
  const note = JSON.stringify({ input: bitsInput, widths: network.widths, layers: [...stored.keys()], rule: rule === 'floor' ? 'shift' : 'round, ties to even', stored: 'int8' });
  return rewritten({ ...graph, metadata: new Map(graph.metadata).set(switchableKey, note) }, stored, tape, (node, { codes, scales }) => {
    const [name, scale, factor, low, high] = node.inputs;
    const integers = tape.weight(numberTensor(`${name}_codes`, 'i8', graph.weights.get(name)!.shape, codes));
    const step = tape.weight(floatTensor(`${name}_scale`, graph.weights.get(scale)!.shape, scales));
    const read = appendRead(tape, tape.op('Cast', [integers], { to: int(1) }), [factor, low, high], rule);
    tape.named('Mul', [read, tape.op('Mul', [step, factor])], node.outputs[0]);
  });
}

/** The graph of a file whose layers have these widths, from the stored integers; up to four bits they take half a byte. */
export async function exportAtBits(network: Stored, bits: readonly number[], rule: 'round' | 'floor' = 'round'): Promise<Graph> {
  const { layers, widths: [high] } = network;
  const matrices = await storedWeights(network);
  const graph = atBits(network.graph, bits);
  const tape = new GraphTape(freshNames(graph));
  const layerOf = new Map(layers.map(({ site }, layer) => [site.id, { width: bits[layer], shape: channelShape(site) }]));
  return rewritten(graph, matrices, tape, (node, { codes, scales }) => {
    const [name] = node.inputs;
    const { width: low, shape } = layerOf.get(name)!;
    const narrowed = high === 8 ? narrowBytes(codes, low, rule) : narrowCodes(codes, high, low, rule);
    const { shape: stored } = graph.weights.get(name)!;
    const integers = tape.weight(low <= 4 ? memoryTensor(`${name}_codes`, 'i4', stored, packLowFirst(narrowed, 4)) : numberTensor(`${name}_codes`, 'i8', stored, narrowed));
    const step = tape.weight(floatTensor(`${name}_scale`, shape, scales.map((scale) => scale * 2 ** (high - low))));
    // Not DequantizeLinear: ONNX Runtime fuses it with a matrix product that rounds the activations.
    tape.named('Mul', [tape.op('Cast', [integers], { to: int(1) }), step], node.outputs[0]);
  });
}

/** The graph with nodes that read stored weights written by `write`, and all else lowered. */
function rewritten(graph: Graph, stored: ReadonlyMap<string, StoredWeight>, tape: GraphTape, write: (node: Node, weight: StoredWeight) => void): Graph {
  const nodes = graph.nodes.flatMap((node) => {
    const weight = node.domain === compositeDomain && node.op === 'DoubleRound' ? stored.get(node.inputs[0]) : undefined;
    if (weight === undefined) return [node];
    write(node, weight);
    return tape.take();
  });
  const weights = new Map<string, TensorRef>([...graph.weights, ...tape.weights]);
  const next: Graph = { ...graph, nodes, weights, opset: new Map([...graph.opset, ...tape.opset]) };
  return removeDeadNodes(lower({ ...next, nodes: sortNodes(next) }, composites));
}
