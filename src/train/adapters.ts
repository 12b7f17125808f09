/**
 * Low-rank adapters (LoRA, arXiv:2106.09685): y = W·x + (α / r)·B·A·x with A [in, rank] and B [rank, out] trained and W
 * left alone. B starts at zero, so that training starts at the model.
 */
import { floatTensor } from '../files/tensor.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import type { Graph, Node } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { normal } from '../numeric/random.ts';
import { readFloats } from '../graph/values.ts';

export interface AdapterOptions {
  readonly rank: number;
  /** Scale of the branch is alpha / rank. */
  readonly alpha: number;
  readonly seed?: number;
}

export interface Adapter {
  /** The weight it adds to. */
  readonly id: string;
  /** Names of A [in, rank] and B [rank, out]. */
  readonly a: string;
  readonly b: string;
  readonly scale: number;
}

/** Adds a branch to every site; convolutions and embeddings take none. */
export function insertAdapters(graph: Graph, sites: readonly Linear[], { rank, alpha, seed = 0 }: AdapterOptions): { readonly graph: Graph; readonly adapters: readonly Adapter[] } {
  const tape = new GraphTape(freshNames(graph));
  const adapters: Adapter[] = [];
  const renamed = new Map<Node, Node>();
  for (const [index, site] of sites.filter(({ kind }) => kind === 'MatMul' || kind === 'Gemm').entries()) {
    const start = Float32Array.from({ length: site.cols * rank }, (_, i) => normal(seed, index, i) / Math.sqrt(rank));
    const a = tape.weight(floatTensor(`${site.id}/lora_A`, [site.cols, rank], start));
    const b = tape.weight(floatTensor(`${site.id}/lora_B`, [rank, site.rows], new Float32Array(rank * site.rows)));
    const branch = tape.op('Mul', [tape.op('MatMul', [tape.op('MatMul', [site.input, a]), b]), tape.constant(alpha / rank)]);
    const [output] = site.node.outputs;
    const inner = `${output}/base`;
    renamed.set(site.node, { ...site.node, outputs: [inner] });
    tape.named('Add', [inner, branch], output);
    adapters.push({ id: site.id, a, b, scale: alpha / rank });
  }
  const next: Graph = {
    ...graph, nodes: [...graph.nodes.map((node) => renamed.get(node) ?? node), ...tape.take()],
    weights: new Map([...graph.weights, ...tape.weights]),
  };
  return { adapters, graph: { ...next, nodes: sortNodes(next) } };
}

/** The base graph with W + scale·(A·B) in place of each adapted weight; `trained` holds A and B. */
export async function mergeAdapters(base: Graph, sites: readonly Linear[], adapters: readonly Adapter[], trained: (name: string) => Float32Array): Promise<Graph> {
  const weights = new Map(base.weights);
  for (const { id, a, b, scale } of adapters) {
    const site = sites.find((candidate) => candidate.id === id)!;
    const values = (await readFloats(site.weight)).slice();
    const [left, right] = [trained(a), trained(b)];
    const rank = left.length / site.cols;
    for (let i = 0; i < site.cols; i++) {
      for (let o = 0; o < site.rows; o++) {
        let sum = 0;
        for (let k = 0; k < rank; k++) sum += left[i * rank + k] * right[k * site.rows + o];
        values[site.transposed ? i * site.rows + o : o * site.cols + i] += scale * sum;
      }
    }
    weights.set(id, floatTensor(id, site.weight.shape, values));
  }
  return { ...base, weights };
}
