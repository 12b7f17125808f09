/** The first batches of some data: enough to measure by, few enough to measure often. */
import type { Feeds } from '../engine/session.ts';
import type { Batches } from './taps.ts';

export interface FewBatches {
  readonly samples: number;
  /** Where the first input is tokens. */
  readonly tokens: number;
}

/** Batches until there are so many samples or tokens. */
export async function firstBatches(batches: Batches, most: FewBatches): Promise<Feeds[]> {
  const taken: Feeds[] = [];
  let samples = 0, tokens = 0;
  for await (const feeds of batches as AsyncIterable<Feeds>) {
    taken.push(feeds);
    const [first] = Object.values(feeds);
    samples += first.shape[0] ?? 1;
    if (first.type === 'i64' || first.type === 'i32') tokens += first.data.length;
    if (samples >= most.samples || tokens >= most.tokens) break;
  }
  return taken;
}
