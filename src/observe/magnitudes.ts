/** Magnitudes of values along their last axes: the largest ever seen, and the largest mean of a sample. */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { extend } from '../graph/extend.ts';
import { int } from '../graph/build.ts';
import { withOutputs } from '../graph/outputs.ts';
import { inferTypes } from '../graph/infer.ts';
import { defineErrors } from '../errors.ts';
import { noBatches, openGraph, type Batches } from './taps.ts';

export interface Magnitudes {
  /** Extents of the axes that were kept. */
  readonly shape: readonly number[];
  readonly max: Float32Array;
  /** Per sample the mean over all positions, of samples the largest (Quamba2's statistic, arXiv:2503.22879). */
  readonly meanMax: Float32Array;
}

const errors = defineErrors('magnitudes', {
  rank: (f: { value: string; kept: number }) => `the rank of ${f.value} is not known, or too small to keep ${f.kept} axes beside samples`,
});

/** Of each value, |value| over all axes but the last `kept`; the first axis counts samples. */
export async function observeMagnitudes(graph: Graph, engine: Engine, batches: Batches, kept: ReadonlyMap<string, number>): Promise<Map<string, Magnitudes>> {
  const typed = await inferTypes(graph);
  const probed = extend(typed, (tape) => [...kept].map(([value, count]) => {
    const rank = typed.values.get(value)?.shape?.length ?? 0;
    if (rank < count + 2) throw errors.rank({ value, kept: count });
    const size = tape.op('Abs', [value]);
    const positions = Array.from({ length: rank - count - 1 }, (_, i) => i + 1);
    const means = tape.op('ReduceMean', [size, tape.ints(positions)], { keepdims: int(0) });
    return [tape.op('ReduceMax', [size, tape.ints([0, ...positions])], { keepdims: int(0) }), tape.op('ReduceMax', [means, tape.ints([0])], { keepdims: int(0) })];
  }));
  const names = probed.result.flat();
  const session = await openGraph(await withOutputs(probed.graph, names), engine);
  const found = new Map<string, Magnitudes>();
  try {
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = await session.run(feeds, names);
      [...kept.keys()].forEach((value, i) => {
        const [max, mean] = probed.result[i].map((name) => results[name]);
        const before = found.get(value);
        const larger = (old: Float32Array | undefined, now: Float32Array): Float32Array => (old === undefined ? now.slice() : old.map((x, at) => Math.max(x, now[at])));
        found.set(value, { shape: max.shape, max: larger(before?.max, max.data as Float32Array), meanMax: larger(before?.meanMax, mean.data as Float32Array) });
      });
    }
  } finally {
    await session.dispose();
  }
  if (found.size === 0 && kept.size > 0) throw noBatches({});
  return found;
}
