/** How far the codes of a file are from those of ONNX Runtime, at every QuantizeLinear. */
import { ortNode } from '../../src/engine/ort-node.ts';
import type { Value64 } from '../../src/engine/interpreter/value.ts';
import { runPlainly, type Plain } from '../../src/engine/qdq/plain.ts';
import { readQdqNetwork } from '../../src/engine/qdq/read.ts';
import { QdqRunner } from '../../src/engine/qdq/run.ts';
import type { Feeds } from '../../src/engine/session.ts';
import { bindFeeds } from '../../src/evaluate/feeds.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { readNumbers } from '../../src/graph/values.ts';
import { openGraph } from '../../src/observe/taps.ts';

export interface Agreement { readonly codes: number; readonly differing: number; readonly most: number }

class Count implements Agreement {
  codes = 0;
  differing = 0;
  most = 0;

  add(apart: number): void {
    this.codes++;
    if (apart > 0) this.differing++;
    this.most = Math.max(this.most, apart);
  }
}

/**
 * Ours as dequantized activations, ONNX Runtime's as the codes it stores; and every operator alone, on the codes that ONNX
 * Runtime gave it, by the plain twin, for the first samples. Codes that its fusions never make are made because they are asked for.
 */
export async function agreement(graph: Graph, samples: readonly Feeds[], aloneOn = 1): Promise<{ readonly whole: Agreement; readonly alone: Agreement }> {
  const made = new Map(graph.nodes.filter(({ op }) => op === 'QuantizeLinear').map((node) => [node.outputs[0], node]));
  const pairs = graph.nodes.filter(({ op, inputs: [first] }) => op === 'DequantizeLinear' && made.has(first)).map(({ inputs: [codes], outputs: [real] }) => ({ codes, real }));
  const theirs = await openGraph({ ...graph, outputs: [...graph.outputs, ...[...made.keys()].map((name) => ({ name, type: undefined, shape: undefined }))] }, ortNode, { threads: 1 });
  const ours = await QdqRunner.open(await readQdqNetwork({ ...graph, outputs: [...graph.outputs, ...pairs.map(({ real }) => ({ name: real, type: 'f32' as const, shape: undefined }))] }));
  const [whole, alone] = [new Count(), new Count()];
  for (const [sample, feeds] of samples.entries()) {
    const bound = bindFeeds(feeds, graph.inputs);
    const [found, judge] = [await ours.run(bound), await theirs.run(bound)];
    for (const { codes: name, real } of pairs) {
      const [, scaleName, zeroName] = made.get(name)!.inputs;
      const [scale] = await readNumbers(graph.weights.get(scaleName)!);
      const [zero] = await readNumbers(graph.weights.get(zeroName)!);
      judge[name].data.forEach((code, i) => whole.add(Math.abs(Math.round((found[real].data[i] as number) / scale) + zero - Number(code))));
    }
    if (sample >= aloneOn) continue;
    const network = await readQdqNetwork(graph);
    let known = new Map<string, Plain>(network.constants);
    for (const one of network.ops) {
      known = await runPlainly({ ...network, ops: [one], constants: known as Map<string, Value64> }, bound);
      const name = 'output' in one ? one.output : '';
      const value = known.get(name);
      if (!made.has(name) || value === undefined || !('codes' in value)) continue;
      const lift = judge[name].type === 'i8' ? 128 : 0;
      const codes = Uint8Array.from(judge[name].data as Uint8Array, (code) => code + lift);
      codes.forEach((code, i) => alone.add(Math.abs(code - value.codes[i])));
      known.set(name, { shape: value.shape, codes });
    }
  }
  await theirs.dispose();
  return { whole, alone };
}
