/** A weight that layers read in more than one direction is as many matrices: codes and scales of rows belong to one of them. */
import { renamed } from './build.ts';
import type { Graph, Node } from './graph.ts';
import { linearSites, type Linear } from './linear.ts';
import { freshNames } from './rewrite.ts';

const directionOf = ({ rows, cols, transposed, groups }: Linear): string => [rows, cols, transposed, groups].join();

/** The graph with a weight of its own for every direction after the first; the same graph where every weight has one. */
export function oneDirection(graph: Graph): Graph {
  const fresh = freshNames(graph);
  const names = new Map<string, Map<string, string>>();
  const moved = new Map<Node, { readonly from: string; readonly to: string }>();
  const weights = new Map(graph.weights);
  for (const site of linearSites(graph)) {
    const known = names.get(site.id) ?? new Map<string, string>();
    names.set(site.id, known);
    const direction = directionOf(site);
    if (!known.has(direction)) known.set(direction, known.size === 0 ? site.id : fresh(`${site.id}_turned`));
    const to = known.get(direction)!;
    if (to === site.id) continue;
    weights.set(to, renamed(site.weight, to));
    moved.set(site.node, { from: site.id, to });
  }
  if (moved.size === 0) return graph;
  const nodes = graph.nodes.map((node) => {
    const move = moved.get(node);
    // The weight is the second input of every layer.
    return move === undefined ? node : { ...node, inputs: node.inputs.map((name, i) => (i === 1 && name === move.from ? move.to : name)) };
  });
  return { ...graph, nodes, weights };
}
