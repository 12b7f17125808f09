/** Graphs opened as sessions, and what comes out of them as numbers. */
import { defineErrors } from '../errors.ts';
import { onnxBytes } from '../files/onnx.ts';
import type { Graph } from '../graph/graph.ts';
import type { Engine, Feeds, Session } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { f16ToF32 } from '../numeric/half.ts';

const errors = defineErrors('observe', {
  notFloat: (f: { name: string; type: string }) => `value ${f.name} is of type ${f.type}; ranges are observed of floats`,
  noBatches: (_: object) => 'no batch to observe',
});
export const noBatches = errors.noBatches;

export type Batches = AsyncIterable<Feeds> | Iterable<Feeds>;

/** Opens a graph from memory; models beyond the 2 GB of one ONNX message need a file with external data. */
export async function openGraph(graph: Graph, engine: Engine): Promise<Session> {
  return engine.open({ bytes: await onnxBytes(graph) });
}

/** Elements of a float tensor as numbers. */
export function floatsOf(name: string, { type, data }: Tensor): ArrayLike<number> {
  if (type === 'f32' || type === 'f64') return data as Float32Array;
  if (type === 'f16') return Float32Array.from(data as Uint16Array, f16ToF32);
  throw errors.notFloat({ name, type });
}
