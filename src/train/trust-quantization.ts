/**
 * Training with both operands of linear layers on QuEST's grid (arXiv:2502.05003): activations per token, weights per
 * output row. With rotation both are multiplied by block-diagonal Hadamard matrices first, which leaves their product as
 * it was: (xH)(WH)ᵀ = xWᵀ.
 */
import { GraphTape } from '../graph/gradient/tape.ts';
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { hadamardOrder } from '../numeric/hadamard.ts';
import { appendHadamard } from './composites/block-hadamard.ts';
import { appendTrustQuantize, type TrustOptions } from './composites/trust-quantize.ts';

export interface TrustQuantization extends Omit<TrustOptions, 'bits'> {
  /** Bits of weights and of activations; undefined leaves them float. */
  readonly weights: number | undefined;
  readonly activations: number | undefined;
  readonly rotate: boolean;
}

/** Appends the quantizers at matrix products; other sites, and those that `isChosen` refuses, stay. */
export function insertTrustQuantize(graph: Graph, isChosen: (site: Linear) => boolean, { weights, activations, rotate, ...options }: TrustQuantization): Graph {
  const tape = new GraphTape(freshNames(graph));
  const made = new Map<string, string>();
  const nodes = new Map<Node, Node>();
  const operand = (value: string, bits: number | undefined, axis: number, width: number): string => {
    const key = `${value} ${axis}`;
    const known = made.get(key);
    if (known !== undefined) return known;
    let result = rotate ? appendHadamard(tape, value, { axis, order: hadamardOrder(width), width }) : value;
    if (bits !== undefined) result = appendTrustQuantize(tape, result, { ...options, bits }, axis, width);
    made.set(key, result);
    return result;
  };
  for (const site of linearSites(graph)) {
    if ((site.kind !== 'MatMul' && site.kind !== 'Gemm') || !isChosen(site)) continue;
    const input = operand(site.input, activations, -1, site.cols);
    const weight = operand(site.id, weights, site.transposed ? 0 : -1, site.cols);
    nodes.set(site.node, { ...site.node, inputs: site.node.inputs.map((name) => (name === site.input ? input : name === site.id ? weight : name)) });
  }
  const next: Graph = {
    ...graph, nodes: [...graph.nodes.map((node) => nodes.get(node) ?? node), ...tape.take()],
    weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]),
  };
  return { ...next, nodes: sortNodes(next) };
}
