/**
 * Every place where a graph computes attention, seen as one thing: queries times transposed keys, scaled and masked, a
 * softmax, times values. Rewrites see these four values; this file knows what may stand between them.
 */
import type { Graph, Node } from './graph.ts';
import { viewOf, type GraphView } from './traverse.ts';

export interface AttentionSite {
  /** Name of the output, [.., rows, width]. */
  readonly id: string;
  /** [.., rows, width] */
  readonly query: string;
  /** [.., width, keys] */
  readonly keys: string;
  /** [.., keys, width] */
  readonly values: string;
  /** From the first product's result to the softmax's, in order; each reads the one before it. */
  readonly between: readonly Node[];
  /** The first and the last product. */
  readonly scores: Node;
  readonly mixed: Node;
}

/** All of them in the outer graph, in order of execution. */
export function attentionSites(graph: Graph): AttentionSite[] {
  const view = viewOf(graph);
  return graph.nodes.flatMap((node) => siteOf(node, view) ?? []);
}

const activations = ({ graph }: GraphView, node: Node): boolean => node.op === 'MatMul' && node.domain === '' && !node.inputs.some((name) => graph.weights.has(name));

function siteOf(softmax: Node, view: GraphView): AttentionSite | undefined {
  const axis = softmax.attributes.axis;
  if (softmax.op !== 'Softmax' || softmax.domain !== '' || (axis?.kind === 'int' && axis.value !== -1)) return undefined;
  const mixed = view.onlyConsumer(softmax.outputs[0]);
  if (mixed === undefined || !activations(view, mixed) || mixed.inputs[0] !== softmax.outputs[0]) return undefined;
  const between = [softmax];
  for (;;) {
    const next = scoresBehind(between[0], view);
    if (next === undefined) return undefined;
    if (next.op === 'MatMul') return { id: mixed.outputs[0], query: next.inputs[0], keys: next.inputs[1], values: mixed.inputs[1], between, scores: next, mixed };
    between.unshift(next);
  }
}

/**
 * The node whose result a node scales, masks or takes the softmax of: a constant added to a row of it must change nothing,
 * so factors are numbers, and what is added or chosen instead is no product itself.
 */
function scoresBehind(node: Node, view: GraphView): Node | undefined {
  const isNumber = (name: string): boolean => view.graph.weights.get(name)?.shape.every((dim) => dim === 1) === true;
  const inputs = node.op === 'Where' ? node.inputs.slice(1) : node.inputs;
  const found = inputs.flatMap((name, i) => {
    if ((node.op === 'Mul' || node.op === 'Div') && !isNumber(inputs[1 - i])) return [];
    if (node.op === 'Div' && i === 1) return [];
    const maker = view.producers.get(name);
    return maker !== undefined && maker.domain === '' && view.onlyConsumer(name) === node && leadsToProduct(maker, view) ? [maker] : [];
  });
  return found.length === 1 ? found[0] : undefined;
}

const steps: ReadonlySet<string> = new Set(['Add', 'Mul', 'Div', 'Where']);

const leadsToProduct = (node: Node, view: GraphView): boolean =>
  activations(view, node) || (steps.has(node.op) && node.inputs.some((name) => {
    const maker = view.producers.get(name);
    return maker !== undefined && leadsToProduct(maker, view);
  }));
