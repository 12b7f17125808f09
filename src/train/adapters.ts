/**
 * Low-rank adapters (LoRA, arXiv:2106.09685): W + (α / r)·A·B with A [rows, rank] and B [rank, columns] of the stored
 * matrix trained and W left alone. The sum is made before any quantizer of the weight, so that merging is exact in a
 * low-bit network too. Where products read the weight as it is, no gradient of its size is computed; a quantizer between
 * them needs one, for its step size and for what it clips. B starts at zero: training starts at the model; or both start
 * where a decomposition left them.
 */
import { floatTensor } from '../tensor-ref.ts';
import { compositeDomain } from '../graph/composite.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import type { Graph, Node } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { consumers, sortNodes } from '../graph/traverse.ts';
import { readFloats } from '../graph/values.ts';
import { matmul } from '../numeric/matrix.ts';
import { normal } from '../numeric/random.ts';
import { adaptedNode, appendAdaptedWeight } from './composites/adapted-product.ts';

export interface AdapterOptions {
  readonly rank: number;
  /** The product is scaled by alpha / rank. */
  readonly alpha: number;
  readonly seed?: number;
  /** Where the product of a weight starts instead, as LQ-LoRA has it: A and B with W ≈ low-bit W + scale·A·B. */
  start?(id: string): { readonly a: Float32Array; readonly b: Float32Array } | undefined;
}

export interface Adapter {
  /** The weight it adds to, and its shape as stored. */
  readonly id: string;
  readonly shape: readonly [rows: number, columns: number];
  /** Names of A and B. */
  readonly a: string;
  readonly b: string;
  readonly scale: number;
}

/** Adds to the weight of every matrix product among the sites; convolutions and embeddings take none. */
export function insertAdapters(graph: Graph, sites: readonly Linear[], { rank, alpha, seed = 0, start }: AdapterOptions): { readonly graph: Graph; readonly adapters: readonly Adapter[] } {
  const tape = new GraphTape(freshNames(graph));
  const adapters: Adapter[] = [];
  for (const { id, kind, weight } of sites) {
    if ((kind !== 'MatMul' && kind !== 'Gemm') || adapters.some((adapter) => adapter.id === id)) continue;
    const [rows, columns] = weight.shape;
    const { a: left, b: right } = start?.(id) ?? {
      a: Float32Array.from({ length: rows * rank }, (_, i) => normal(seed, adapters.length, i) / Math.sqrt(rank)),
      b: new Float32Array(rank * columns),
    };
    // A decomposition has no more than the smaller side of its matrix.
    const own = left.length / rows;
    const a = tape.weight(floatTensor(`${id}/lora_A`, [rows, own], left));
    const b = tape.weight(floatTensor(`${id}/lora_B`, [own, columns], right));
    adapters.push({ id, shape: [rows, columns], a, b, scale: alpha / rank });
  }
  const uses = consumers(graph);
  const plain = new Map(adapters.filter(({ id }) => uses.get(id)!.every((node) => isProductWith(node, id))).map((adapter) => [adapter.id, adapter]));
  const sums = new Map(adapters.filter(({ id }) => !plain.has(id)).map(({ id, a, b, scale }) => [id, appendAdaptedWeight(tape, [id, a, b], scale)]));
  const readers = graph.nodes.map((node) => {
    const own = plain.get(node.inputs[1]);
    if (own !== undefined && isProductWith(node, own.id)) return adaptedNode(node, own.a, own.b, own.scale);
    return node.inputs.some((name) => sums.has(name)) ? { ...node, inputs: node.inputs.map((name) => sums.get(name) ?? name) } : node;
  });
  const next: Graph = { ...graph, nodes: [...readers, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, [compositeDomain, 1]]) };
  return { adapters, graph: { ...next, nodes: sortNodes(next) } };
}

/** x · W, or x · Wᵀ, plus a bias or none. */
function isProductWith({ op, domain, inputs: [x, w], attributes }: Node, id: string): boolean {
  const isOne = (name: string): boolean => (attributes[name]?.value ?? 1) === 1;
  return domain === '' && w === id && x !== id && (op === 'MatMul' || (op === 'Gemm' && isOne('alpha') && isOne('beta') && (attributes.transA?.value ?? 0) === 0));
}

/** The graph with W + scale·A·B in place of each adapted weight; `trained` holds A and B. */
export async function mergeAdapters(graph: Graph, adapters: readonly Adapter[], trained: (name: string) => Float32Array): Promise<Graph> {
  const weights = new Map(graph.weights);
  for (const { id, shape: [rows, columns], a, b, scale } of adapters) {
    const values = await readFloats(weights.get(id)!);
    const product = matmul(trained(a), trained(b), rows, trained(a).length / rows, columns);
    weights.set(id, floatTensor(id, [rows, columns], values.map((value, i) => value + scale * product[i])));
  }
  return { ...graph, weights };
}
