/** How near static int8 graphs come to the float graph they were made of, measured on calibration data. */
import type { Engine, Feeds } from '../engine/session.ts';
import { generic } from '../evaluate/tasks/generic.ts';
import type { Outputs } from '../evaluate/tasks/task.ts';
import { exportStaticInt8 } from '../export/onnx-static.ts';
import type { Graph } from '../graph/graph.ts';
import { noBatches, openGraph, type Batches } from '../observe/taps.ts';
import type { Applied } from '../recipes/apply.ts';

/** A function from weights and ranges to the SQNR of the worst output, dB, over the first batch. */
export async function staticNoise(float: Graph, engine: Engine, batches: Batches): Promise<(applied: Applied) => Promise<number>> {
  let feeds: Feeds | undefined;
  for await (feeds of batches as AsyncIterable<Feeds>) break;
  if (feeds === undefined) throw noBatches({});
  const run = async (graph: Graph): Promise<Outputs> => {
    const session = await openGraph(graph, engine);
    try {
      return await session.run(feeds);
    } finally {
      await session.dispose();
    }
  };
  const reference = await run(float);
  return async ({ graph, weights, ranges }) => {
    const judge = generic.judge({});
    judge.add({ feeds: {} }, reference, await run((await exportStaticInt8(graph, { weights, ranges })).graph), { float: '', candidate: '' });
    return judge.finish().error.sqnr!;
  };
}
