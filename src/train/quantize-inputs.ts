/** Inputs of layers seen through number formats that are measured on each input, and a whole graph as its low-bit file will compute. */
import type { NumberFormat } from '../formats/format.ts';
import { lower } from '../graph/composite.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import type { QuantizedMatrix } from '../round/quantized-matrix.ts';
import { appendDynamicQuantize } from './composites/dynamic-quantize.ts';
import { composites } from './composites/index.ts';

/** The graph with inputs of sites seen through formats, by the site's output; sites that share both share the rounding. Composites stay in it. */
export function quantizeInputs(graph: Graph, formats: ReadonlyMap<string, NumberFormat>): Graph {
  const tape = new GraphTape(freshNames(graph));
  const made = new Map<string, string>();
  const replaced = new Map<string, string>();
  for (const site of linearSites(graph)) {
    const format = formats.get(site.output);
    if (format === undefined) continue;
    const key = `${site.input}\n${format.name}`;
    if (!made.has(key)) made.set(key, appendDynamicQuantize(tape, site.input, format.name, site.cols));
    replaced.set(site.output, made.get(key)!);
  }
  const nodes = graph.nodes.map((node) => {
    const rounded = replaced.get(node.outputs[0]);
    return rounded === undefined ? node : { ...node, inputs: [rounded, ...node.inputs.slice(1)] };
  });
  const next: Graph = { ...graph, nodes: [...nodes, ...tape.take()], weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]) };
  return { ...next, nodes: sortNodes(next) };
}

/** The graph in float as it computes with these weights, by weight id, and inputs in these formats, by the site's output. */
export async function simulateQuantized(graph: Graph, weights: ReadonlyMap<string, QuantizedMatrix>, formats: ReadonlyMap<string, NumberFormat>): Promise<Graph> {
  let next = graph;
  for (const site of linearSites(graph, { gather: true })) {
    const matrix = weights.get(site.id);
    if (matrix !== undefined) next = withMatrix(next, site, matrix.format.decode(await matrix.read(0, matrix.rows)));
  }
  return lower(quantizeInputs(next, formats), composites);
}
