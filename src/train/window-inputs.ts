/**
 * Inputs of layers in formats that change with an input of the network, such as the time step of a diffusion sampler: the
 * bits of activations follow the windows while the weights stay one copy (ViDiT-Q, arXiv:2406.02540, section 4.3).
 */
import type { NumberFormat } from '../formats/format.ts';
import { int } from '../graph/build.ts';
import { lower } from '../graph/composite.ts';
import { extend } from '../graph/extend.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { sortNodes } from '../graph/traverse.ts';
import type { Windows } from '../observe/channel-maxima.ts';
import { appendDynamicQuantize } from './composites/dynamic-quantize.ts';
import { composites } from './composites/index.ts';

/**
 * The graph with inputs of MatMul and Gemm sites rounded, sample by sample, to the format of the window that the sample lies
 * in; one format per window, undefined leaves it float, by the site's output. Outside of all windows nothing is rounded.
 * `windows.input` is an int64 input [samples].
 */
export function quantizeInputsByWindow(graph: Graph, windows: Windows, formats: ReadonlyMap<string, readonly (NumberFormat | undefined)[]>): Graph {
  const { graph: extended, result: replaced } = extend(graph, (tape) => {
    const all = tape.ints([-1]);
    // One truth value per sample, to be held against [samples, tokens, channels].
    const inside = windows.ranges.map(([from, to]) => tape.op('Reshape', [
      tape.op('And', [tape.op('GreaterOrEqual', [windows.input, tape.ints(from)]), tape.op('LessOrEqual', [windows.input, tape.ints(to)])]), tape.ints([-1, 1, 1]),
    ]));
    const samples = tape.op('Shape', [windows.input], { start: int(0), end: int(1) });
    const made = new Map<string, string>();
    return new Map(linearSites(graph).flatMap(({ kind, input, output, cols }): [string, string][] => {
      const chosen = formats.get(output);
      if (chosen === undefined || (kind !== 'MatMul' && kind !== 'Gemm')) return [];
      const key = [input, ...chosen.map((format) => format?.name)].join('\n');
      if (!made.has(key)) {
        const bySample = tape.op('Concat', [samples, all, tape.ints([cols])], { axis: int(0) });
        let value = tape.op('Reshape', [input, bySample]);
        chosen.forEach((format, w) => {
          if (format === undefined) return;
          value = tape.op('Where', [inside[w], tape.op('Reshape', [appendDynamicQuantize(tape, input, format.name, cols), bySample]), value]);
        });
        made.set(key, tape.op('Reshape', [value, tape.op('Shape', [input])]));
      }
      return [[output, made.get(key)!]];
    }));
  });
  const nodes = extended.nodes.map((node) => (replaced.has(node.outputs[0]) ? { ...node, inputs: [replaced.get(node.outputs[0])!, ...node.inputs.slice(1)] } : node));
  const next: Graph = { ...extended, nodes };
  return lower({ ...next, nodes: sortNodes(next) }, composites);
}
