/** Samples of a data set as a model takes them, in batches where shapes allow. */
import type { Feeds } from '../engine/session.ts';
import { bindFeeds, fixedBatch } from '../evaluate/feeds.ts';
import type { Dataset } from '../observe/data/index.ts';
import type { SourceModel } from './source.ts';

export async function* feedsOf({ graph }: Pick<SourceModel, 'graph'>, dataset: Dataset): AsyncGenerator<Feeds> {
  const fixed = fixedBatch(graph);
  const size = fixed ?? (dataset.uniform ? 8 : 1);
  for (let begin = 0; begin + (fixed ?? 1) <= dataset.count; begin += size) {
    const { feeds } = await dataset.batch(Array.from({ length: Math.min(size, dataset.count - begin) }, (_, i) => begin + i));
    yield bindFeeds(feeds, graph.inputs);
  }
}
