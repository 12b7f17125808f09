/**
 * Inputs of layers rounded to a grid that is fixed beforehand: QuantizeLinear and DequantizeLinear before each site, one
 * scale and zero point per value, as engines fuse them.
 */
import type { Graph, Node } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { numberTensor } from '../graph/values.ts';
import { floatTensor } from '../tensor-ref.ts';
import { affineCodes } from './simulate.ts';

/** The graph with these inputs of sites rounded to 8 bits over their ranges, by value; other readers see them as they were. */
export function roundInputs(graph: Graph, ranges: ReadonlyMap<string, { readonly low: number; readonly high: number }>): Graph {
  const fresh = freshNames(graph);
  const weights = new Map(graph.weights);
  const added: Node[] = [];
  const rounded = new Map<string, string>();
  const readers = new Map<Node, string>();
  for (const { node, input, kind } of linearSites(graph)) {
    const range = ranges.get(input);
    if (range === undefined || kind === 'Gather') continue;
    if (!rounded.has(input)) {
      const { scale, zero } = affineCodes(range, 8);
      const [step, point, codes, output] = ['scale', 'zero', 'codes', 'rounded'].map((part) => fresh(`${input}_${part}`));
      weights.set(step, floatTensor(step, [], Float32Array.of(scale)));
      weights.set(point, numberTensor(point, 'u8', [], [zero]));
      added.push(
        makeNode('QuantizeLinear', [input, step, point], [codes], { name: codes }),
        makeNode('DequantizeLinear', [codes, step, point], [output], { name: output }),
      );
      rounded.set(input, output);
    }
    readers.set(node, rounded.get(input)!);
  }
  const nodes = [...graph.nodes.map((node) => (readers.has(node) ? { ...node, inputs: [readers.get(node)!, ...node.inputs.slice(1)] } : node)), ...added];
  const next: Graph = { ...graph, nodes, weights };
  return { ...next, nodes: sortNodes(next) };
}
