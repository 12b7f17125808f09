/** Samples of a data set as a model takes them, in batches where shapes allow. */
import type { Feeds } from '../engine/session.ts';
import { bindFeeds, fixedBatch } from '../evaluate/feeds.ts';
import type { Dataset } from '../observe/data/index.ts';
import type { SourceModel } from './source.ts';

/** Samples that go together: as many as a network has places for, where that is fixed; else a few where shapes allow. */
export const batchSize = (dataset: Dataset, fixed: number | undefined): number => fixed ?? (dataset.uniform ? 8 : 1);

/** All samples in batches; a last one that a fixed batch has no samples for is left out. */
export async function* batchesOf(dataset: Dataset, fixed: number | undefined): AsyncGenerator<Feeds> {
  const size = batchSize(dataset, fixed);
  for (let begin = 0; begin + (fixed ?? 1) <= dataset.count; begin += size) {
    yield (await dataset.batch(Array.from({ length: Math.min(size, dataset.count - begin) }, (_, i) => begin + i))).feeds;
  }
}

export async function* feedsOf({ graph }: Pick<SourceModel, 'graph'>, dataset: Dataset): AsyncGenerator<Feeds> {
  for await (const feeds of batchesOf(dataset, fixedBatch(graph))) yield bindFeeds(feeds, graph.inputs);
}
