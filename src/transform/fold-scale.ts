/**
 * Per-channel factors moved between a value and the layers around it: linear sites that read the value take them into
 * their columns, what makes the value takes the inverse into a normalization scale, a bias or the rows of a layer.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, withMatrix, type Linear } from '../graph/linear.ts';
import { viewOf, type GraphView } from '../graph/traverse.ts';
import { encodeNumbers, isFloatType, readFloats } from '../graph/values.ts';
import { memoryTensor } from '../tensor-ref.ts';

/** Normalizations whose input 1 is a scale per channel and whose input 2, where there is one, a shift. */
const normalizations = new Set(['LayerNormalization', 'SimplifiedLayerNormalization', 'RMSNormalization']);

/** Channels of the input that a site reads: columns, or input channels of a convolution. */
export function inputChannels(site: Linear): number {
  const taps = site.kernel.reduce((product, extent) => product * extent, 1);
  return (site.cols / taps) * site.groups;
}

/** All sites that read a value, or undefined when anything else does (or it is an output, or a weight is tied elsewhere). */
export function exclusiveReaders(graph: Graph, value: string): Linear[] | undefined {
  const view = viewOf(graph);
  const sites = linearSites(graph).filter((site) => site.input === value && site.kind !== 'ConvTranspose');
  const readers = view.consumers.get(value) ?? [];
  if (view.outputs.has(value) || sites.length === 0 || readers.length !== sites.length) return undefined;
  return sites.every((site) => view.consumers.get(site.id)?.length === 1) ? sites : undefined;
}

/** The graph with `value` divided by `factors` per channel at its source and every reader's columns multiplied; undefined where it cannot be. */
export async function scaleBetween(graph: Graph, value: string, factors: Float32Array): Promise<Graph | undefined> {
  const sites = exclusiveReaders(graph, value);
  if (sites === undefined || sites.some((site) => inputChannels(site) !== factors.length)) return undefined;
  let next = await divideSource(graph, value, factors);
  if (next === undefined) return undefined;
  for (const site of sites) {
    const matrix = (await site.weightMatrix()).slice();
    const taps = site.kernel.reduce((product, extent) => product * extent, 1);
    for (let i = 0; i < matrix.length; i++) matrix[i] *= factors[channelOf(site, taps, i)];
    next = withMatrix(next, site, matrix);
  }
  return next;
}

/** Input channel of the value at a flat index of a site's matrix. */
export function channelOf(site: Linear, taps: number, index: number): number {
  const row = Math.floor(index / site.cols);
  const group = Math.floor((row * site.groups) / site.rows);
  return group * (site.cols / taps) + Math.floor((index % site.cols) / taps);
}

/** Whether a value comes straight from a product with a gain per channel, as of a normalization. */
export function hasGain(graph: Graph, value: string): boolean {
  const node = viewOf(graph).producers.get(value);
  return node !== undefined && (normalizations.has(node.op) || (node.op === 'Mul' && node.inputs.some((name) => (graph.weights.get(name)?.shape.at(-1) ?? 1) > 1)));
}

async function divideSource(graph: Graph, value: string, factors: Float32Array): Promise<Graph | undefined> {
  const view = viewOf(graph);
  const node = view.producers.get(value);
  if (node === undefined) return undefined;
  const inner = (name: string): Promise<Graph | undefined> =>
    view.onlyConsumer(name) === undefined ? Promise.resolve(undefined) : divideSource(graph, name, factors);
  if (normalizations.has(node.op)) return divideVectors(view, node, [1, 2], factors);
  const site = linearSites(graph).find((candidate) => candidate.node === node && candidate.kind !== 'Gather');
  if (site !== undefined) return divideRows(view, site, node, factors);
  switch (node.op) {
    // Positive factors pass through ReLU.
    case 'Relu': case 'LeakyRelu': return inner(node.inputs[0]);
    case 'PRelu': return inner(node.inputs[0]);
    case 'Mul': {
      for (const at of [0, 1]) if (isVector(view, node.inputs[at], factors.length)) return divideVectors(view, node, [at], factors);
      // A product (SwiGLU) takes the factor on one side; the second is the plain linear branch in exported models.
      return (await inner(node.inputs[1])) ?? inner(node.inputs[0]);
    }
    case 'Add': {
      for (const at of [0, 1]) {
        if (!isVector(view, node.inputs[at], factors.length) || view.onlyConsumer(node.inputs[1 - at]) === undefined) continue;
        const source = await inner(node.inputs[1 - at]);
        return source === undefined ? undefined : divideVectors(viewOf(source), node, [at], factors);
      }
      return undefined;
    }
    default: return undefined;
  }
}

const isVector = (view: GraphView, name: string, length: number): boolean => {
  const weight = view.graph.weights.get(name);
  return weight !== undefined && isFloatType(weight.type) && weight.shape.at(-1) === length
    && weight.shape.every((dim, i) => dim === 1 || i === weight.shape.length - 1);
};

/** Divides constant vectors among a node's inputs; undefined when one is missing, shared or of another length. */
async function divideVectors(view: GraphView, node: Node, at: readonly number[], factors: Float32Array): Promise<Graph | undefined> {
  const weights = new Map(view.graph.weights);
  for (const index of at) {
    const name = node.inputs[index] ?? '';
    if (name === '') continue;
    if (!isVector(view, name, factors.length) || view.consumers.get(name)?.length !== 1) return undefined;
    const weight = weights.get(name)!;
    const values = (await readFloats(weight)).map((v, i) => v / factors[i]);
    weights.set(name, memoryTensor(name, weight.type, weight.shape, encodeNumbers(weight.type as 'f32', values)));
  }
  return { ...view.graph, weights };
}

async function divideRows(view: GraphView, site: Linear, node: Node, factors: Float32Array): Promise<Graph | undefined> {
  if (site.rows !== factors.length || view.consumers.get(site.id)?.length !== 1) return undefined;
  // A bias of the node itself; an Add that follows is divided where the walk passes it.
  const own = node.inputs[2] ?? '';
  if (node.attributes.alpha !== undefined || node.attributes.beta !== undefined) return undefined;
  const biased = own === '' ? view.graph : await divideVectors(view, node, [2], factors);
  if (biased === undefined) return undefined;
  const matrix = (await site.weightMatrix()).slice();
  for (let i = 0; i < matrix.length; i++) matrix[i] /= factors[Math.floor(i / site.cols)];
  return withMatrix(biased, site, matrix);
}
