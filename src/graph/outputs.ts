/** Inner values of a graph made visible as outputs. */
import { defineErrors } from '../errors.ts';
import type { Graph, ValueInfo } from './graph.ts';
import { inferTypes } from './infer.ts';

const errors = defineErrors('outputs', {
  unknownValue: (f: { name: string; graph: string }) => `graph ${f.graph} computes no value named ${f.name}`,
});

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
