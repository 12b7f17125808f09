/** Inputs of layers seen through nodes that are put before them. */
import { GraphTape, type Tape } from './gradient/tape.ts';
import type { Graph } from './graph.ts';
import { linearSites } from './linear.ts';
import { freshNames } from './rewrite.ts';
import { sortNodes } from './traverse.ts';

/** The graph in which layers read, instead of each named value, what `write` appends after it; other readers see the value itself. */
export function throughNodes(graph: Graph, values: Iterable<string>, write: (tape: Tape, value: string) => string): Graph {
  const tape = new GraphTape(freshNames(graph));
  const made = new Map([...values].map((value) => [value, write(tape, value)]));
  const layers = new Set(linearSites(graph).map(({ node }) => node));
  const nodes = graph.nodes.map((node) => (layers.has(node) && made.has(node.inputs[0]) ? { ...node, inputs: [made.get(node.inputs[0])!, ...node.inputs.slice(1)] } : node));
  const next: Graph = { ...graph, nodes: [...nodes, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]) };
  return { ...next, nodes: sortNodes(next) };
}
