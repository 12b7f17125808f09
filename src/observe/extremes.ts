/** Largest absolute value of everything that a graph computes: found inside the session, so that scalars alone come out. */
import type { Engine, Feeds } from '../engine/session.ts';
import { int } from '../graph/build.ts';
import type { Graph, Node, ValueInfo } from '../graph/graph.ts';
import { inferTypes } from '../graph/infer.ts';
import { freshNames, makeNode } from '../graph/rewrite.ts';
import { noBatches, openGraph, type Batches } from './taps.ts';

/** By value name, float32 inputs and results of the outer graph; infinite where a value was. */
export async function observeExtremes(graph: Graph, engine: Engine, batches: Batches): Promise<Map<string, number>> {
  const typed = await inferTypes(graph);
  const fresh = freshNames(typed);
  const nodes: Node[] = [];
  const outputs: ValueInfo[] = [];
  const watched = new Map<string, string>();
  const floats = new Set([...typed.values.values(), ...typed.outputs].filter(({ type }) => type === 'f32').map(({ name }) => name));
  for (const name of typed.nodes.flatMap((node) => node.outputs)) {
    if (!floats.has(name)) continue;
    const [size, extreme] = [fresh(`${name}_abs`), fresh(`${name}_extreme`)];
    nodes.push(makeNode('Abs', [name], [size], { name: size }), makeNode('ReduceMax', [size], [extreme], { name: extreme, attributes: { keepdims: int(0) } }));
    outputs.push({ name: extreme, type: 'f32', shape: [] });
    watched.set(extreme, name);
  }
  const extremes = new Map<string, number>();
  const seen = (name: string, value: number): void => { if (!(value <= (extremes.get(name) ?? 0))) extremes.set(name, value); };
  const session = await openGraph({ ...typed, nodes: [...typed.nodes, ...nodes], outputs: [...typed.outputs, ...outputs] }, engine);
  let count = 0;
  try {
    for await (const feeds of batches as AsyncIterable<Feeds>) {
      count++;
      for (const [name, { type, data }] of Object.entries(feeds)) if (type === 'f32') seen(name, (data as Float32Array).reduce((max, value) => Math.max(max, Math.abs(value)), 0));
      const results = await session.run(feeds, [...watched.keys()]);
      for (const [extreme, name] of watched) seen(name, (results[extreme].data as Float32Array)[0]);
    }
  } finally {
    await session.dispose();
  }
  if (count === 0) throw noBatches({});
  return extremes;
}
