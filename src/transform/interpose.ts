/** Nodes put between values and all that read them. */
import { extend } from '../graph/extend.ts';
import type { Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { freshNames, renameValues } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';

/** Makes of a value what its readers see instead. */
export type Interposed = (tape: Tape, value: string) => string;

/**
 * Before readers: `write` gets each value under another name, and the names of the values stand for what it made
 * afterwards, so that what is put in next comes after it.
 */
export function interpose(graph: Graph, writers: ReadonlyMap<string, Interposed>): Graph {
  const fresh = freshNames(graph);
  const plain = new Map([...writers.keys()].map((value) => [value, fresh(`${value}_plain`)]));
  const { graph: next, made } = redirected(renameValues(graph, plain), new Map([...writers].map(([value, write]) => [plain.get(value)!, write])));
  const back = renameValues(next, new Map([...plain].map(([value, name]) => [made.get(name)!, value])));
  return { ...back, nodes: sortNodes(back) };
}

/** Behind makers: names stay with what makes the values, so that what is put in next comes before it. */
export function follow(graph: Graph, writers: ReadonlyMap<string, Interposed>): Graph {
  const { graph: next } = redirected(graph, writers);
  return { ...next, nodes: sortNodes(next) };
}

function redirected(graph: Graph, writers: ReadonlyMap<string, Interposed>): { readonly graph: Graph; readonly made: ReadonlyMap<string, string> } {
  const { graph: extended, result: made } = extend(graph, (tape) => new Map([...writers].map(([value, write]) => [value, write(tape, value)])));
  const nodes = extended.nodes.map((node, i) => (i < graph.nodes.length && node.inputs.some((name) => made.has(name)) ? { ...node, inputs: node.inputs.map((name) => made.get(name) ?? name) } : node));
  return { graph: { ...extended, nodes }, made };
}
