/** Largest absolute value of everything that a graph computes: what half precision must know of it. */
import type { Engine } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { inferTypes } from '../graph/infer.ts';
import { batchExtremes } from './batch-extremes.ts';
import type { Batches } from './taps.ts';

/** By value name, float32 inputs and results of the outer graph; infinite where a value was. */
export async function observeExtremes(graph: Graph, engine: Engine, batches: Batches): Promise<Map<string, number>> {
  const typed = await inferTypes(graph);
  const floats = new Set([...typed.inputs, ...typed.values.values(), ...typed.outputs].filter(({ type }) => type === 'f32').map(({ name }) => name));
  const computed = [...typed.inputs.map(({ name }) => name), ...typed.nodes.flatMap(({ outputs }) => outputs)];
  const extremes = new Map<string, number>();
  for await (const batch of batchExtremes(typed, engine, batches, computed.filter((name) => floats.has(name)))) {
    for (const [name, { min, max, count }] of batch) {
      if (count > 0) extremes.set(name, Math.max(extremes.get(name) ?? 0, Math.abs(min), Math.abs(max)));
    }
  }
  return extremes;
}
