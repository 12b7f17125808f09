/** A network whose operators stand between QuantizeLinear and DequantizeLinear, on our own kernels. */
import { readQdqNetwork } from '../engine/qdq/read.ts';
import { QdqRunner } from '../engine/qdq/run.ts';
import type { Graph } from '../graph/graph.ts';
import { upgradeOpset } from '../graph/upgrade.ts';
import type { IntegerModel, IntegerModelOptions } from './integer-model.ts';

export async function qdqModel(graph: Graph, { team }: IntegerModelOptions): Promise<IntegerModel> {
  const runner = await QdqRunner.open(await readQdqNetwork(await upgradeOpset(graph)), team === undefined ? {} : { team });
  return { inputs: graph.inputs, outputs: graph.outputs, run: (feeds) => runner.run(feeds), dispose: () => runner.dispose() };
}
