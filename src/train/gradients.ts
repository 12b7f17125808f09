/** Gradients of one batch as plain arrays: to compare estimators, to look at a network. */
import type { Engine, Feeds } from '../engine/session.ts';
import { lower } from '../graph/composite.ts';
import { gradient } from '../graph/gradient/gradient.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { openGraph } from '../observe/taps.ts';
import { composites } from './composites/index.ts';

/** d loss / d value for each name, shaped as the value; the shapes of the graph must be known. */
export async function gradientsAt(graph: Graph, loss: string, names: readonly string[], feeds: Feeds, engine: Engine): Promise<Map<string, Float32Array>> {
  const made = await gradient(graph, loss, names, { composites });
  const results = names.map((name) => made.gradients.get(name)!);
  const session = await openGraph(lower(await withOutputs({ ...made.graph, outputs: [] }, results), composites), engine);
  try {
    const found = await session.run(feeds, results);
    return new Map(names.map((name, i) => [name, found[results[i]].data as Float32Array]));
  } finally {
    await session.dispose();
  }
}
