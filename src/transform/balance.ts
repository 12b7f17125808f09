/**
 * Channel balancing with a division that always finds a place: folded into what makes the activation where that can be,
 * else one multiplication in the graph. Factors are SmoothQuant's, s = a^α / w^(1−α) (arXiv:2211.10438), as ViDiT-Q
 * takes them (arXiv:2406.02540).
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix, type Linear } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { pow } from '../numeric/elementary.ts';
import { floatTensor } from '../tensor-ref.ts';
import { hasGain, scaleBetween } from './fold-scale.ts';

/** Channels that are never active count as this large. */
const smallestMaximum = 1e-5;

/** s_j = a_j^α / w_j^(1−α) of channel maxima of the activation and of the weights that read it. */
export const balanceFactors = (activation: ArrayLike<number>, weight: ArrayLike<number>, alpha: number): Float32Array =>
  Float32Array.from(activation, (a, j) => pow(Math.max(a, smallestMaximum), alpha) / pow(Math.max(weight[j], smallestMaximum), 1 - alpha));

/**
 * The same function with the inputs of sites divided by factors, by input value, and the columns of their weights
 * multiplied. `into: 'gains'` leaves the weights of other layers alone: only gains of normalizations take a division.
 */
export async function balanceInputs(graph: Graph, factors: ReadonlyMap<string, Float32Array>, { into = 'any' }: { readonly into?: 'any' | 'gains' } = {}): Promise<Graph> {
  let next = graph;
  for (const [value, scales] of factors) {
    const folded = into === 'any' || hasGain(next, value) ? await scaleBetween(next, value, scales) : undefined;
    next = folded ?? await divideInGraph(next, value, scales);
  }
  return next;
}

/** One multiplication before all MatMul and Gemm sites that read the value; other readers see it as it was. Weights tied to other places stay. */
async function divideInGraph(graph: Graph, value: string, factors: Float32Array): Promise<Graph> {
  const view = viewOf(graph);
  const sites = linearSites(graph).filter((site) => site.input === value && isMatrix(site) && view.consumers.get(site.id)?.length === 1);
  const fresh = freshNames(graph);
  const [divided, inverse] = [fresh(`${value}_balanced`), fresh(`${value}_inverse_balance`)];
  const readers = new Set(sites.map(({ node }) => node));
  const nodes = [
    ...graph.nodes.map((node) => (readers.has(node) ? { ...node, inputs: [divided, ...node.inputs.slice(1)] } : node)),
    makeNode('Mul', [value, inverse], [divided], { name: divided }),
  ];
  let next: Graph = { ...graph, nodes, weights: new Map(graph.weights).set(inverse, floatTensor(inverse, [factors.length], factors.map((s) => 1 / s))) };
  next = { ...next, nodes: sortNodes(next) };
  for (const site of linearSites(next).filter(({ input }) => input === divided)) {
    const matrix = (await site.weightMatrix()).slice();
    for (let i = 0; i < matrix.length; i++) matrix[i] *= factors[i % site.cols];
    next = withMatrix(next, site, matrix);
  }
  return next;
}

const isMatrix = ({ kind }: Linear): boolean => kind === 'MatMul' || kind === 'Gemm';
