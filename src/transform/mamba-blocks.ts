/**
 * The Mamba-2 blocks of a graph, found by the names that the builder gives to weights and values. What a name stands for
 * is what the scan reads: a pass that puts something before it gives the name to the new value.
 */
import { defineErrors } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';

export interface MambaBlock {
  /** `backbone.layers.0.mixer`. */
  readonly stem: string;
  /** Channels of x, z and y. */
  readonly inner: number;
  readonly heads: number;
  readonly headDim: number;
  /** Heads of a group share B and C. */
  readonly groups: number;
  readonly stateSize: number;
  /** To z, x, B, C and dt, in this order of rows. */
  readonly inProj: Linear;
  readonly outProj: Linear;
}

/** Values of a block: gate, convolution's input, step size before its bias, and what the scan reads, keeps and gives. */
export type MambaValue = 'z' | 'xBC' | 'dt_raw' | 'x' | 'B' | 'C' | 'state' | 'y';
export const mambaValue = ({ stem }: MambaBlock, name: MambaValue): string => `${stem}.${name}`;

const errors = defineErrors('mamba', {
  none: (f: { graph: string }) => [`${f.graph} has no Mamba-2 blocks`, 'the recipe is for state-space models that were opened from their folder'] as const,
});

/** Metadata of the graph that says what shapes of weights do not. */
interface Dimensions { readonly groups: number; readonly stateSize: number }

/** In order of execution; throws where there are none. */
export function mambaBlocks(graph: Graph): MambaBlock[] {
  const text = graph.metadata.get('mamba2');
  if (text === undefined) throw errors.none({ graph: graph.name });
  const { groups, stateSize } = JSON.parse(text) as Dimensions;
  const sites = new Map(linearSites(graph).map((site) => [site.id, site]));
  const blocks = [...sites.values()].flatMap((site): MambaBlock[] => {
    const stem = /^(.+)\.in_proj\.weight$/.exec(site.id)?.[1];
    const outProj = sites.get(`${stem}.out_proj.weight`);
    const heads = graph.weights.get(`${stem}.A_log`)?.shape[0];
    if (stem === undefined || outProj === undefined || heads === undefined) return [];
    return [{ stem, inner: outProj.cols, heads, headDim: outProj.cols / heads, groups, stateSize, inProj: site, outProj }];
  });
  if (blocks.length === 0) throw errors.none({ graph: graph.name });
  return blocks;
}
