/** What training makes of the weights of a model, a line for each. */
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { isFloatType } from '../graph/values.ts';
import type { FrozenBase } from '../train/frozen-base.ts';
import type { TensorLine } from './result.ts';
import type { SourceModel } from './source.ts';

const numbers = ({ shape }: { readonly shape: readonly number[] }): number => shape.reduce((product, dim) => product * dim, 1);

/** Float weights as they stay. */
const floatLines = ({ weights }: Graph): TensorLine[] => [...weights].filter(([, { type }]) => isFloatType(type as 'f32')).map(([name, weight]) =>
  ({ name, shape: weight.shape, source: weight.type, target: 'f32', bytesBefore: weight.byteLength, bytesAfter: 4 * numbers(weight) }));

/** Integers of the width of each site, with a scale per output channel; sites without a width stay float. */
export function integerLines({ graph }: SourceModel, widthOf: (site: Linear) => number | undefined): TensorLine[] {
  const sites = new Map(linearSites(graph).map((site) => [site.id, site]));
  return floatLines(graph).map((line) => {
    const site = sites.get(line.name);
    const width = site === undefined ? undefined : widthOf(site);
    return width === undefined ? line : { ...line, target: `int${width}/channel`, bytesAfter: Math.ceil((numbers(line) * (width <= 4 ? 4 : 8)) / 8) + 4 * site!.rows };
  });
}

/** Codes in place of the matrices, and the adapters beside them. */
export function frozenLines({ graph }: SourceModel, { weights }: FrozenBase, rank: number): TensorLine[] {
  return floatLines(graph).flatMap((line) => {
    const matrix = weights.get(line.name);
    if (matrix === undefined) return [line];
    const { format, rows, cols } = matrix;
    return [
      { ...line, target: format.name, bytesAfter: Math.ceil((numbers(line) * format.bitsPerWeight(rows, cols)) / 8) },
      { name: `${line.name}, adapters`, shape: [rank, rows + cols], source: 'none', target: 'f16', bytesBefore: 0, bytesAfter: 2 * rank * (rows + cols) },
    ];
  });
}
