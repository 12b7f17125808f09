/** Activations in floating-point codes with a fixed scale: their search on samples, and how they stand in a graph. */
import type { MiniFloat } from '../formats/minifloat-code.ts';
import type { ScaledFormat } from '../formats/scaled.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { appendFloatRounding, type FloatType } from './composites/float-rounding.ts';

export interface FixedFloat<T extends FloatType = FloatType> { readonly type: T; readonly scale: number }

/** The graph with inputs of layers seen through a floating-point type times a scale, by value; in standard operators. */
export function fixFloatInputs(graph: Graph, types: ReadonlyMap<string, FixedFloat>): Graph {
  const tape = new GraphTape(freshNames(graph));
  const made = new Map<string, string>();
  for (const [value, { type, scale }] of types) {
    const step = tape.constant(scale);
    made.set(value, tape.op('Mul', [appendFloatRounding(tape, tape.op('Div', [value, step]), type), step]));
  }
  const layers = new Set(linearSites(graph).map(({ node }) => node));
  const nodes = graph.nodes.map((node) => (layers.has(node) && made.has(node.inputs[0]) ? { ...node, inputs: [made.get(node.inputs[0])!, ...node.inputs.slice(1)] } : node));
  const next: Graph = { ...graph, nodes: [...nodes, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]) };
  return { ...next, nodes: sortNodes(next) };
}

/** Of floating-point formats per tensor, the one with the smallest squared error on samples of a value, its scale searched too. */
export function searchFixedFloat(values: Float32Array, candidates: readonly ScaledFormat[]): FixedFloat<MiniFloat> & { readonly squaredError: number } {
  let best: (FixedFloat<MiniFloat> & { squaredError: number }) | undefined;
  for (const format of candidates) {
    const { scales, squaredError } = format.encode(values, 1, values.length, { search: 'mse' });
    if (best === undefined || squaredError < best.squaredError) best = { type: format.symmetric!.grid.type!, scale: scales[0], squaredError };
  }
  return best!;
}
