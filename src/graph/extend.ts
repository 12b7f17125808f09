/** Nodes appended to a graph: losses, probes, statistics. */
import { GraphTape, type Tape } from './gradient/tape.ts';
import type { Graph } from './graph.ts';
import { freshNames } from './rewrite.ts';

/** The graph with what `write` appended, and what it returned; outputs stay as they are. */
export function extend<T>(graph: Graph, write: (tape: Tape) => T): { readonly graph: Graph; readonly result: T } {
  const tape = new GraphTape(freshNames(graph));
  const result = write(tape);
  return {
    result,
    graph: { ...graph, nodes: [...graph.nodes, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]) },
  };
}
