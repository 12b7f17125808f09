/** Which weights of a network training may change: those that its layers multiply by, add or look up. */
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';

/** Inputs of normalisations that are learned, by operator. */
const normalisations: Readonly<Record<string, readonly number[]>> = {
  BatchNormalization: [1, 2], InstanceNormalization: [1, 2], GroupNormalization: [1, 2], LayerNormalization: [1, 2],
  RMSNormalization: [1], SimplifiedLayerNormalization: [1],
};

/** Recurrent operators: matrices of inputs and of states, then biases. */
const recurrent = new Set(['LSTM', 'GRU', 'RNN']);

export interface Trainable {
  /** Matrices and kernels: weight decay is for these. */
  readonly matrices: readonly string[];
  /** Biases, gains and tables. */
  readonly others: readonly string[];
}

/** Float32 weights of linear and recurrent layers, embeddings, normalisations, and vectors that are added or multiplied. */
export function trainableWeights(graph: Graph): Trainable {
  const isFloat = (name: string): boolean => graph.weights.get(name)?.type === 'f32';
  const matrices = new Set(linearSites(graph).map((site) => site.id).filter(isFloat));
  const others = new Set<string>();
  for (const site of linearSites(graph, { gather: true })) {
    if (site.bias !== undefined) others.add(site.bias.name);
    if (site.kind === 'Gather') others.add(site.id);
  }
  for (const node of graph.nodes) {
    for (const index of normalisations[node.op] ?? []) others.add(node.inputs[index] ?? '');
    if (node.domain === '' && recurrent.has(node.op)) {
      for (const name of node.inputs.slice(1, 3)) if (isFloat(name)) matrices.add(name);
      others.add(node.inputs[3] ?? '');
    }
    // A gain or shift along channels, or what one is computed from; scalars are constants of formulas.
    if (node.op === 'Mul' || node.op === 'Add' || node.op === 'PRelu' || node.op === 'Exp' || node.op === 'Unsqueeze') {
      for (const name of node.inputs) if (isLearned(graph, name)) others.add(name);
    }
  }
  return { matrices: [...matrices], others: [...others].filter((name) => isFloat(name) && !matrices.has(name)) };
}

/** Named constants of formulas, such as rotary frequencies, are not learned. */
const formulas = /inv_freq|rotary|mask/i;

function isLearned(graph: Graph, name: string): boolean {
  const weight = graph.weights.get(name);
  return weight !== undefined && weight.shape.some((dim) => dim > 1) && !formulas.test(name);
}
