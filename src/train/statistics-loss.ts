/** What a network remembers of its training data, as a loss: stored means and deviations against those of a value. */
import { defineErrors } from '../errors.ts';
import { int } from '../graph/build.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { readFloats } from '../graph/values.ts';

const errors = defineErrors('distil', {
  noBatchNorm: (f: { graph: string }) => [
    `${f.graph} has no batch normalization to make data from`,
    'give real inputs with --data; networks without it, or with it folded into the layers, store no statistics',
  ],
  inputs: (f: { graph: string; count: number }) => [`${f.graph} has ${f.count} inputs; data are made for networks with one image`, 'give real inputs with --data'],
  imageSize: (f: { input: string; shape: string }) => [`${f.input} of shape [${f.shape}] is no image of known size`, 'give real inputs with --data'],
});

/** Keeps the root of a variance of zero differentiable; the published code adds as much. */
const epsilon = 1e-6;

/** Name, and stored mean and deviation per channel, of the input of a batch normalization. */
export interface StoredStatistics { readonly value: string; readonly mean: Float32Array; readonly deviation: Float32Array }

/** Those of every batch normalization whose statistics are weights. */
export async function storedStatistics(graph: Graph): Promise<StoredStatistics[]> {
  const found: StoredStatistics[] = [];
  for (const node of graph.nodes) {
    if (node.op !== 'BatchNormalization' || node.domain !== '') continue;
    const [mean, variance] = [graph.weights.get(node.inputs[3]), graph.weights.get(node.inputs[4])];
    if (mean === undefined || variance === undefined) continue;
    found.push({ value: node.inputs[0], mean: await readFloats(mean), deviation: (await readFloats(variance)).map((v) => Math.sqrt(v + epsilon)) });
  }
  if (found.length === 0) throw errors.noBatchNorm({ graph: graph.name });
  return found;
}

/** Channels, height and width of the one image that a network takes; refuses networks that no data can be made for. */
export function imageShape(graph: Graph): [channels: number, height: number, width: number] {
  if (!graph.nodes.some(({ op, domain, inputs }) => op === 'BatchNormalization' && domain === '' && graph.weights.has(inputs[3]))) throw errors.noBatchNorm({ graph: graph.name });
  if (graph.inputs.length !== 1) throw errors.inputs({ graph: graph.name, count: graph.inputs.length });
  const [{ name, shape }] = graph.inputs;
  const sizes = shape?.slice(1) ?? [];
  if (sizes.length !== 3 || !sizes.every((size) => typeof size === 'number' && size > 0)) throw errors.imageSize({ input: name, shape: (shape ?? []).map((dim) => dim ?? '?').join(', ') });
  return sizes as [number, number, number];
}

export interface StatisticsDistance {
  /** Axes over which statistics are taken: [2, 3] of each image, [0, 2, 3] of the batch. */
  readonly axes: readonly number[];
  /** Factor on the sum of squares. */
  readonly factor: number;
}

/** ‖mean − m‖² · factor + ‖deviation − s‖² · factor, s from the unbiased variance over the axes. */
export function statisticsDistance(tape: Tape, value: string, mean: string, deviation: string, { axes: over, factor }: StatisticsDistance): string {
  const axes = tape.ints(over);
  const own = tape.op('ReduceMean', [value, axes], { keepdims: int(1) });
  const centred = tape.op('Sub', [value, own]);
  const extents = tape.op('Gather', [tape.op('Shape', [value]), axes]);
  const size = tape.op('Cast', [tape.op('ReduceProd', [extents], { keepdims: int(0) })], { to: int(1) });
  // One position has no spread of its own: the biased form there.
  const freedom = tape.op('Max', [tape.op('Sub', [size, tape.constant(1)]), tape.constant(1)]);
  const variance = tape.op('Div', [tape.op('ReduceSumSquare', [centred, axes], { keepdims: int(0) }), freedom]);
  const spread = tape.op('Sqrt', [tape.op('Add', [variance, tape.constant(epsilon)])]);
  const flat = tape.op('Squeeze', [own, axes]);
  const norm = (a: string, b: string): string => tape.op('ReduceSumSquare', [tape.op('Sub', [a, b])], { keepdims: int(0) });
  return tape.op('Mul', [tape.op('Add', [norm(flat, mean), norm(spread, deviation)]), tape.constant(factor)]);
}
