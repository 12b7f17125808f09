/** One call for what a recipe needs to see: ranges of values, moments of linear inputs. */
import type { Engine } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { observeMoments, type MomentOptions, type Moments } from './moments.ts';
import { observeRanges, type ObservedRange, type RangeOptions } from './ranges.ts';
import type { Batches } from './taps.ts';

export interface Wanted {
  readonly ranges?: RangeOptions & { readonly values: readonly string[] };
  readonly moments?: MomentOptions & { readonly sites: readonly Linear[] };
}

export interface Observations {
  /** By value name. */
  readonly ranges: ReadonlyMap<string, ObservedRange>;
  /** By `momentKey` of the site. */
  readonly moments: ReadonlyMap<string, Moments>;
}

/**
 * Runs the float graph over the batches, once per kind that is wanted. Data that can be read once only
 * (a generator) is given as a function that starts it again.
 */
export async function observe(graph: Graph, engine: Engine, batches: Batches | (() => Batches), wanted: Wanted): Promise<Observations> {
  const { ranges, moments } = wanted;
  const again = typeof batches === 'function' ? batches : () => batches;
  return {
    ranges: ranges === undefined ? new Map() : await observeRanges(graph, engine, again(), ranges.values, ranges),
    moments: moments === undefined ? new Map() : await observeMoments(graph, engine, again(), moments.sites, moments),
  };
}
