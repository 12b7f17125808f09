/** Extremes of values batch by batch, found inside the session: scalars alone come out, whatever the size of the values. */
import type { Engine, Feeds } from '../engine/session.ts';
import { int } from '../graph/build.ts';
import type { Graph, Node, ValueInfo } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { isFloatType } from '../graph/values.ts';
import { floatsOf, noBatches, notFloat, openGraph, type Batches } from './taps.ts';

export interface Extremes {
  readonly min: number;
  readonly max: number;
  readonly count: number;
  /** Of all values: not finite where one of them is not, as a minimum need not be. */
  readonly mean: number;
}

/** One record per batch and value, in order; graph inputs included. */
export async function* batchExtremes(graph: Graph, engine: Engine, batches: Batches, names: readonly string[]): AsyncGenerator<ReadonlyMap<string, Extremes>> {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const inner = names.filter((name) => !inputs.has(name));
  const typed = await withOutputs(graph, inner);
  const infos = new Map([...typed.values.values(), ...typed.outputs].map((info) => [info.name, info]));
  const fresh = freshNames(typed);
  const nodes: Node[] = [];
  const outputs: ValueInfo[] = [];
  const watched = new Map<string, readonly [min: string, max: string, mean: string, count: string]>();
  for (const name of inner) {
    const type = infos.get(name)?.type ?? 'f32';
    if (!isFloatType(type)) throw notFloat({ name, type });
    const wide = type === 'f32' ? name : fresh(`${name}_f32`);
    if (wide !== name) nodes.push(makeNode('Cast', [name], [wide], { name: wide, attributes: { to: int(1) } }));
    const made = [fresh(`${name}_min`), fresh(`${name}_max`), fresh(`${name}_mean`), fresh(`${name}_count`)] as const;
    for (const [i, op] of ['ReduceMin', 'ReduceMax', 'ReduceMean'].entries()) {
      nodes.push(makeNode(op, [wide], [made[i]], { name: made[i], attributes: { keepdims: int(0) } }));
      outputs.push({ name: made[i], type: 'f32', shape: [] });
    }
    nodes.push(makeNode('Size', [name], [made[3]], { name: made[3] }));
    outputs.push({ name: made[3], type: 'i64', shape: [] });
    watched.set(name, made);
  }
  const session = await openGraph({ ...typed, nodes: [...typed.nodes, ...nodes], outputs: [...graph.outputs, ...outputs] }, engine);
  try {
    let seen = 0;
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      const results = inner.length === 0 ? {} : await session.run(feeds, outputs.map(({ name }) => name));
      const one = (name: string): number => Number(results[name].data[0]);
      const found = new Map<string, Extremes>();
      for (const name of names) {
        const made = watched.get(name);
        found.set(name, made === undefined ? extremesOf(floatsOf(name, feeds[name])) : { min: one(made[0]), max: one(made[1]), mean: one(made[2]), count: one(made[3]) });
      }
      yield found;
      seen++;
    }
    if (seen === 0) throw noBatches({});
  } finally {
    await session.dispose();
  }
}

function extremesOf(values: ArrayLike<number>): Extremes {
  let min = Infinity, max = -Infinity, sum = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < min) min = values[i];
    if (values[i] > max) max = values[i];
    sum += values[i];
  }
  return { min, max, count: values.length, mean: sum / values.length };
}
