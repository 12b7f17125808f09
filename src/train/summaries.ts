/** Means and extremes of activations on a few batches: where learned step sizes start. */
import type { Engine } from '../engine/session.ts';
import { extend } from '../graph/extend.ts';
import { int } from '../graph/build.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { noBatches, openGraph, type Batches } from '../observe/taps.ts';
import type { ActivationSummary } from './quantization-aware.ts';

/** Mean absolute value and minimum of each named value over all batches; only these numbers leave the engine. */
export async function observeSummaries(graph: Graph, engine: Engine, batches: Batches, values: readonly string[]): Promise<Map<string, ActivationSummary>> {
  const { graph: probed, result: probes } = extend(graph, (tape) => values.map((value) => ({
    value,
    meanAbsolute: tape.op('ReduceMean', [tape.op('Abs', [value])], { keepdims: int(0) }),
    min: tape.op('ReduceMin', [value], { keepdims: int(0) }),
  })));
  const fetched = probes.flatMap(({ meanAbsolute, min }) => [meanAbsolute, min]);
  const session = await openGraph(await withOutputs(probed, fetched), engine);
  const sums = new Map(values.map((value) => [value, { sum: 0, min: Infinity }]));
  let count = 0;
  try {
    for await (const feeds of batches) {
      const results = await session.run(feeds, fetched);
      for (const { value, meanAbsolute, min } of probes) {
        const seen = sums.get(value)!;
        seen.sum += (results[meanAbsolute].data as Float32Array)[0];
        seen.min = Math.min(seen.min, (results[min].data as Float32Array)[0]);
      }
      count++;
    }
  } finally {
    await session.dispose();
  }
  if (count === 0) throw noBatches({});
  return new Map([...sums].map(([value, { sum, min }]) => [value, { meanAbsolute: sum / count, min }]));
}
