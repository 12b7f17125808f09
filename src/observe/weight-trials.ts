/** One session of a network whose weights are fed: how far its outputs move when some weights take other values. */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Graph } from '../graph/graph.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import { promoteWeights } from '../graph/promote.ts';
import { f32ToF16 } from '../numeric/half.ts';
import { comparedOutputs, distanceTo, type Distance, type Outputs } from './output-distance.ts';
import { floatWeights } from './sensitivity.ts';
import { noBatches, openGraph } from './taps.ts';

export interface WeightTrials {
  /** Distance to the float outputs with these matrices [rows, cols] in place of the weights of their sites, by weight id. */
  measure(replaced: ReadonlyMap<string, Float32Array>): Promise<number>;
  dispose(): Promise<void>;
}

/** Sites with tied weights count once. */
export async function weightTrials(
  graph: Graph, engine: Engine, batches: readonly Feeds[], sites: readonly Linear[], distance: Distance, threads?: number,
): Promise<WeightTrials> {
  if (batches.length === 0) throw noBatches({});
  const byId = new Map(sites.map((site) => [site.id, site]));
  const session = await openGraph(promoteWeights(graph, byId.keys()), engine, threads === undefined ? undefined : { threads });
  const compared = comparedOutputs(graph.outputs, distance);
  const weights = await floatWeights([...byId.values()]);
  /** Half floats are fed as the graph declares them. */
  const stored = (fed: Readonly<Record<string, Tensor>>): Feeds => Object.fromEntries(Object.entries(fed).map(([id, tensor]) =>
    [id, byId.get(id)?.weight.type === 'f16' ? { ...tensor, type: 'f16' as const, data: Uint16Array.from(tensor.data as Float32Array, f32ToF16) } : tensor]));
  const run = async (fed: Feeds): Promise<Outputs[]> => {
    const results: Outputs[] = [];
    for (const feeds of batches) results.push(await session.run({ ...feeds, ...fed }, compared));
    return results;
  };
  const distanceOf = distanceTo(distance, await run(stored(weights)));
  return {
    async measure(replaced) {
      const fed = { ...weights };
      for (const [id, matrix] of replaced) fed[id] = { ...weights[id], data: storedOrder(byId.get(id)!, matrix) };
      return distanceOf(await run(stored(fed)));
    },
    dispose: () => session.dispose(),
  };
}
