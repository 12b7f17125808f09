/** How far the codes of a file are from those of ONNX Runtime, at every QuantizeLinear. */
import { ortNode } from '../../src/engine/ort-node.ts';
import { readQdqNetwork } from '../../src/engine/qdq/read.ts';
import { QdqRunner } from '../../src/engine/qdq/run.ts';
import type { Feeds } from '../../src/engine/session.ts';
import { bindFeeds } from '../../src/evaluate/feeds.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { readNumbers } from '../../src/graph/values.ts';
import { openGraph } from '../../src/observe/taps.ts';

export interface Agreement { readonly codes: number; readonly differing: number; readonly most: number }

/**
 * Ours as dequantized activations, ONNX Runtime's as the codes it stores. Codes that its fusions never make are made because they
 * are asked for, in the same graph.
 */
export async function agreement(graph: Graph, samples: readonly Feeds[]): Promise<Agreement> {
  const made = new Map(graph.nodes.filter(({ op }) => op === 'QuantizeLinear').map((node) => [node.outputs[0], node]));
  const pairs = graph.nodes.filter(({ op, inputs: [first] }) => op === 'DequantizeLinear' && made.has(first)).map(({ inputs: [codes], outputs: [real] }) => ({ codes, real }));
  const theirs = await openGraph({ ...graph, outputs: [...graph.outputs, ...[...new Set(pairs.map(({ codes }) => codes))].map((name) => ({ name, type: undefined, shape: undefined }))] }, ortNode, { threads: 1 });
  const ours = new QdqRunner(await readQdqNetwork({ ...graph, outputs: [...graph.outputs, ...pairs.map(({ real }) => ({ name: real, type: 'f32' as const, shape: undefined }))] }));
  let [codes, differing, most] = [0, 0, 0];
  for (const feeds of samples) {
    const [found, judge] = [await ours.run(bindFeeds(feeds, graph.inputs)), await theirs.run(bindFeeds(feeds, graph.inputs))];
    for (const { codes: name, real } of pairs) {
      const [, scaleName, zeroName] = made.get(name)!.inputs;
      const [scale] = await readNumbers(graph.weights.get(scaleName)!);
      const [zero] = await readNumbers(graph.weights.get(zeroName)!);
      judge[name].data.forEach((code, i) => {
        const apart = Math.abs(Math.round((found[real].data[i] as number) / scale) + zero - Number(code));
        if (apart > 0) differing++;
        most = Math.max(most, apart);
      });
      codes += judge[name].data.length;
    }
  }
  await theirs.dispose();
  return { codes, differing, most };
}
