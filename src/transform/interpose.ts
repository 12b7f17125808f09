/** Nodes put between values and all that read them. */
import { extend } from '../graph/extend.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { freshNames, renameValues } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';

/**
 * `write` makes of each value, under the name `plain`, what its readers see instead. The names of the values stand for
 * that afterwards, so that what is found by name is found changed.
 */
export function interpose(graph: Graph, values: readonly string[], write: (tape: Tape, plain: string, value: string) => string): Graph {
  const fresh = freshNames(graph);
  const plain = new Map(values.map((value) => [value, fresh(`${value}_plain`)]));
  const set = renameValues(graph, plain);
  const { graph: extended, result: made } = extend(set, (tape) => new Map([...plain].map(([value, name]) => [name, write(tape, name, value)])));
  const nodes = extended.nodes.map((node, i) => (i < set.nodes.length && node.inputs.some((name) => made.has(name)) ? { ...node, inputs: node.inputs.map((name) => made.get(name) ?? name) } : node));
  const next = renameValues({ ...extended, nodes }, new Map([...plain].map(([value, name]) => [made.get(name)!, value])));
  return { ...next, nodes: sortNodes(next) };
}
