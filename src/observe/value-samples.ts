/** Some of what values of a graph take on data, evenly spread over each batch. */
import type { Engine } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { floatsOf, noBatches, openGraph, type Batches } from './taps.ts';

/** About `perBatch` numbers of each named value from every batch. */
export async function sampleValues(graph: Graph, engine: Engine, batches: Batches, names: readonly string[], perBatch = 16384): Promise<Map<string, Float32Array>> {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const computed = names.filter((name) => !inputs.has(name));
  const session = await openGraph(await withOutputs(graph, computed), engine);
  const found = new Map<string, number[]>(names.map((name) => [name, []]));
  let seen = 0;
  try {
    for await (const feeds of batches) {
      const made = { ...feeds, ...await session.run(feeds, computed) };
      seen++;
      for (const [name, values] of found) {
        const floats = floatsOf(name, made[name]);
        const stride = Math.max(1, Math.floor(floats.length / perBatch));
        for (let i = 0; i < floats.length; i += stride) values.push(floats[i]);
      }
    }
  } finally {
    await session.dispose();
  }
  if (seen === 0) throw noBatches({});
  return new Map([...found].map(([name, values]) => [name, Float32Array.from(values)]));
}
