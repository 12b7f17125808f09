/** Feed-forward parts: two layers with a Gaussian error linear unit between them, whether or not it is one node. */
import type { Graph } from './graph.ts';
import { linearSites, type Linear } from './linear.ts';
import { viewOf } from './traverse.ts';

/** What a GELU is written with, and what may stand around it. */
const gelu = new Set(['Gelu', 'FastGelu', 'BiasGelu', 'Erf', 'Tanh']);
const elementwise = new Set([...gelu, 'Add', 'Sub', 'Mul', 'Div', 'Pow', 'Cast', 'Identity', 'Reshape']);

/** The first layer of every feed-forward part: all that follows, element by element, is a GELU and one more layer. */
export function layersBeforeGelu(graph: Graph): Linear[] {
  const { consumers, outputs } = viewOf(graph);
  const sites = linearSites(graph);
  const readers = new Map(sites.map((site) => [site.node, site]));
  return sites.filter((site) => {
    const seen = new Set<string>();
    const open = [site.output];
    const reached = new Set<Linear>();
    let isGelu = false;
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      if (outputs.has(value)) return false;
      for (const node of consumers.get(value) ?? []) {
        const next = readers.get(node);
        if (next !== undefined) reached.add(next);
        else if (!elementwise.has(node.op)) return false;
        else {
          isGelu ||= gelu.has(node.op);
          for (const output of node.outputs) if (!seen.has(output)) { seen.add(output); open.push(output); }
        }
      }
    }
    return isGelu && reached.size === 1;
  });
}
