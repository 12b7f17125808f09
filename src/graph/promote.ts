/** Weights as inputs: one compiled session, fed with other values at every run. */
import { isBlockType } from '../tensor-ref.ts';
import type { Graph, ValueInfo } from './graph.ts';

/** The graph with these weights as inputs, after the inputs that it has; names without a weight are left alone. */
export function promoteWeights(graph: Graph, names: Iterable<string>): Graph {
  const weights = new Map(graph.weights);
  const inputs: ValueInfo[] = [...graph.inputs];
  for (const name of names) {
    const weight = weights.get(name);
    if (weight === undefined || isBlockType(weight.type)) continue;
    weights.delete(name);
    inputs.push({ name, type: weight.type, shape: weight.shape });
  }
  return { ...graph, weights, inputs };
}
