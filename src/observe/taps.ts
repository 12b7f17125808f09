/** Inner values of a graph made visible as outputs, and a graph opened as a session. */
import { defineErrors } from '../errors.ts';
import { onnxBytes } from '../files/onnx.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { inferTypes } from '../graph/infer.ts';
import type { Engine, Feeds, Session } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { f16ToF32 } from '../numeric/half.ts';

const errors = defineErrors('observe', {
  unknownValue: (f: { name: string; graph: string }) => `graph ${f.graph} computes no value named ${f.name}`,
  notFloat: (f: { name: string; type: string }) => `value ${f.name} is of type ${f.type}; ranges are observed of floats`,
  noBatches: (_: object) => 'no batch to observe',
});
export const noBatches = errors.noBatches;

export type Batches = AsyncIterable<Feeds> | Iterable<Feeds>;

/** The same graph with more outputs; values that are outputs or inputs already stay where they are. */
export async function withOutputs(graph: Graph, names: readonly string[]): Promise<Graph> {
  const typed = await inferTypes(graph);
  const made = new Set(typed.nodes.flatMap((node) => node.outputs));
  const outputs = new Set(typed.outputs.map(({ name }) => name));
  const added: ValueInfo[] = [];
  for (const name of new Set(names)) {
    if (outputs.has(name)) continue;
    if (!made.has(name)) throw errors.unknownValue({ name, graph: graph.name });
    added.push(typed.values.get(name) ?? { name, type: 'f32', shape: undefined });
  }
  return { ...typed, outputs: [...typed.outputs, ...added] };
}

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
