/** Symbolic dimensions replaced by numbers. */
import type { Dim, Graph, ValueInfo } from './graph.ts';
import { inferTypes } from './infer.ts';

/** The graph with symbolic dimensions of its inputs replaced by numbers, and every shape inferred again. */
export async function bindDimensions(graph: Graph, sizes: Readonly<Record<string, number>>): Promise<Graph> {
  const bound = (shape: readonly Dim[] | undefined) => shape?.map((dim) => (typeof dim === 'string' && Object.hasOwn(sizes, dim) ? sizes[dim] : dim));
  const info = (value: ValueInfo): ValueInfo => ({ ...value, shape: bound(value.shape) });
  return inferTypes({
    ...graph, inputs: graph.inputs.map(info), outputs: graph.outputs.map(info),
    values: new Map([...graph.values].map(([name, value]) => [name, info(value)])),
  });
}

/** As `bindDimensions`, with the sizes taken from tensors that are fed: names learn their size, unnamed dimensions take it. */
export function bindToShapes(graph: Graph, shapes: ReadonlyMap<string, readonly number[]>): Promise<Graph> {
  const sizes: Record<string, number> = {};
  const inputs = graph.inputs.map((input) => {
    const actual = shapes.get(input.name);
    if (actual === undefined || input.shape?.length !== actual.length) return input;
    return {
      ...input, shape: input.shape.map((dim, i) => {
        if (typeof dim === 'string') sizes[dim] = actual[i];
        return typeof dim === 'number' ? dim : actual[i];
      }),
    };
  });
  return bindDimensions({ ...graph, inputs }, sizes);
}
