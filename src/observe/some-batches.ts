/** A part of the sample inputs for what is measured many times: whole batches, evenly spread, since samples may lie in an order that means something. */
import type { Feeds } from '../engine/session.ts';
import { noBatches, type Batches } from './taps.ts';

export interface SomeBatches {
  readonly feeds: readonly Feeds[];
  readonly samples: number;
}

/** Batches with about so many samples, the first axis of their tensors; all of them where there are fewer. */
export async function someBatches(batches: Batches, samples: number): Promise<SomeBatches> {
  const all: Feeds[] = [];
  for await (const feeds of batches as AsyncIterable<Feeds>) all.push(feeds);
  if (all.length === 0) throw noBatches({});
  const sizeOf = (feeds: Feeds): number => Object.values(feeds)[0]?.shape[0] ?? 1;
  const count = (list: readonly Feeds[]): number => list.reduce((sum, feeds) => sum + sizeOf(feeds), 0);
  const wanted = Math.min(all.length, Math.max(1, Math.round((samples * all.length) / count(all))));
  const kept = Array.from({ length: wanted }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / wanted)]);
  return { feeds: kept, samples: count(kept) };
}
