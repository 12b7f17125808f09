/** How near static int8 graphs come to the float graph they were made of, measured on calibration data. */
import type { Engine, Feeds } from '../engine/session.ts';
import { generic } from '../evaluate/tasks/generic.ts';
import type { Outputs } from '../evaluate/tasks/task.ts';
import { exportStaticInt8 } from '../export/onnx-static.ts';
import type { Graph } from '../graph/graph.ts';
import { noBatches, openGraph, type Batches } from '../observe/taps.ts';
import type { Applied } from '../recipes/apply.ts';

/** Samples that are compared, at least: models that take one at a time get several. */
const leastSamples = 4;

/** A function from weights and ranges to the SQNR of the worst output, dB, over the first batches. */
export async function staticNoise(float: Graph, engine: Engine, batches: Batches): Promise<(applied: Applied) => Promise<number>> {
  const taken: Feeds[] = [];
  let samples = 0;
  for await (const feeds of batches as AsyncIterable<Feeds>) {
    taken.push(feeds);
    samples += Object.values(feeds)[0]?.shape[0] ?? 1;
    if (samples >= leastSamples) break;
  }
  if (samples === 0) throw noBatches({});
  const run = async (graph: Graph): Promise<Outputs[]> => {
    const session = await openGraph(graph, engine);
    try {
      const outputs: Outputs[] = [];
      for (const feeds of taken) outputs.push(await session.run(feeds));
      return outputs;
    } finally {
      await session.dispose();
    }
  };
  const reference = await run(float);
  return async ({ graph, weights, ranges }) => {
    const judge = generic.judge({});
    const outputs = await run((await exportStaticInt8(graph, { weights, ranges })).graph);
    outputs.forEach((output, i) => judge.add({ feeds: {} }, reference[i], output, { float: '', candidate: '' }));
    return judge.finish().error.sqnr!;
  };
}
