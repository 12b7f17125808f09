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

/** From weights and ranges to the SQNR of the worst output, dB. */
export type StaticNoise = (applied: Applied) => Promise<number>;

/** Measures over the first batches; they are read, and the float graph runs, when first asked. */
export function staticNoise(float: Graph, engine: Engine, batches: Batches): StaticNoise {
  const run = async (graph: Graph, taken: readonly Feeds[]): Promise<Outputs[]> => {
    const session = await openGraph(graph, engine);
    try {
      const outputs: Outputs[] = [];
      for (const feeds of taken) outputs.push(await session.run(feeds));
      return outputs;
    } finally {
      await session.dispose();
    }
  };
  const prepare = async (): Promise<{ readonly taken: readonly Feeds[]; readonly reference: readonly Outputs[] }> => {
    const taken = await firstBatches(batches);
    return { taken, reference: await run(float, taken) };
  };
  let prepared: ReturnType<typeof prepare> | undefined;
  const measure: StaticNoise = async ({ graph, weights, ranges }) => {
    const { taken, reference } = await (prepared ??= prepare());
    const judge = generic.judge({});
    const outputs = await run((await exportStaticInt8(graph, { weights, ranges })).graph, taken);
    outputs.forEach((output, i) => judge.add({ feeds: {} }, reference[i], output, { float: '', candidate: '' }));
    return judge.finish().error.sqnr!;
  };
  // Choices that follow each other begin with what the one before ended with.
  const known = new WeakMap<Applied, Promise<number>>();
  return (applied) => {
    const found = known.get(applied) ?? measure(applied);
    known.set(applied, found);
    return found;
  };
}

async function firstBatches(batches: Batches): Promise<Feeds[]> {
  const taken: Feeds[] = [];
  let samples = 0;
  for await (const feeds of batches as AsyncIterable<Feeds>) {
    taken.push(feeds);
    samples += Object.values(feeds)[0]?.shape[0] ?? 1;
    if (samples >= leastSamples) break;
  }
  if (samples === 0) throw noBatches({});
  return taken;
}
