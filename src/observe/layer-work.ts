/** What layers do for one sample: shapes of the values between them, and how many products each takes. */
import { defineErrors } from '../errors.ts';
import type { Feeds } from '../engine/session.ts';
import { bindToShapes } from '../graph/bind.ts';
import type { Graph } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';

const errors = defineErrors('layer-work', {
  shape: (f: { layer: string; value: string }) => [`layer ${f.layer}: the shape of ${f.value} does not follow from those of the inputs`, 'ask for bits alone'] as const,
});

/** Shapes of what a layer reads and makes. */
export interface LayerShapes { readonly input: readonly number[]; readonly output: readonly number[] }

/** Shapes of layers for one sample, as batches lie: the first dimension counts samples where the graph leaves it open. */
export async function shapesOfOne(graph: Graph, feeds: Feeds): Promise<(site: Linear) => LayerShapes> {
  const bound = await bindToShapes(graph, new Map(Object.entries(feeds).map(([name, { shape }]) => [name, shape.length === 0 ? shape : [1, ...shape.slice(1)]])));
  const known = new Map([...bound.values].map(([name, { shape }]) => [name, shape]));
  for (const { name, shape } of [...bound.inputs, ...bound.outputs]) known.set(name, shape);
  const of = (site: Linear, value: string): readonly number[] => {
    const shape = known.get(value);
    if (shape === undefined || shape.some((dim) => typeof dim !== 'number')) throw errors.shape({ layer: site.id, value });
    return shape as readonly number[];
  };
  return (site) => ({ input: of(site, site.input), output: of(site, site.output) });
}

const countOf = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** Products of weights and inputs. */
export function productsOf({ kind, rows, cols }: Pick<Linear, 'kind' | 'rows' | 'cols'>, { input, output }: LayerShapes): number {
  // Transposed convolutions multiply at every position of their input, all others at every position of their output.
  const positions = kind === 'ConvTranspose' ? countOf(input) / input[1] : countOf(output) / rows;
  return positions * rows * cols;
}
