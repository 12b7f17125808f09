/** Graphs opened as sessions, and what comes out of them as numbers. */
import { defineErrors } from '../errors.ts';
import { onnxBytes } from '../files/onnx.ts';
import type { Graph } from '../graph/graph.ts';
import type { Engine, Feeds, Session, SessionOptions } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { f16ToF32 } from '../numeric/half.ts';

const errors = defineErrors('observe', {
  notFloat: (f: { name: string; type: string }) => [`value ${f.name} is of type ${f.type}; ranges are observed of floats`, 'networks that begin with whole numbers have no form in integers throughout: --bits 8 computes the rest in floats'] as const,
  noBatches: (_: object) => 'no batch to observe',
});
export const { noBatches, notFloat } = errors;

export type Batches = AsyncIterable<Feeds> | Iterable<Feeds>;

/** The first of some batches. */
export async function firstBatch(batches: Batches): Promise<Feeds> {
  for await (const feeds of batches as AsyncIterable<Feeds>) return feeds;
  throw noBatches({});
}

/** Weights up to this size pass to the engine in memory; more would be held twice, and one message ends at 2 GB. */
const inMemoryBytes = 64 * 1024 * 1024;

/** Opens a graph: a small one from memory, a large one the way the engine has for it. */
export async function openGraph(graph: Graph, engine: Engine, options?: SessionOptions): Promise<Session> {
  let bytes = 0;
  for (const { byteLength } of graph.weights.values()) bytes += byteLength;
  if (bytes > inMemoryBytes && engine.openGraph !== undefined) return engine.openGraph(graph, options);
  return engine.open({ bytes: await onnxBytes(graph) }, options);
}

/** Elements of a float tensor as numbers. */
export function floatsOf(name: string, { type, data }: Tensor): ArrayLike<number> {
  if (type === 'f32' || type === 'f64') return data as Float32Array;
  if (type === 'f16') return Float32Array.from(data as Uint16Array, f16ToF32);
  throw errors.notFloat({ name, type });
}
