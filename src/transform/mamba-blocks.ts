/**
 * The Mamba blocks of a graph, found by the names that the builders give to weights and values. What a name stands for is
 * what the scan reads: a pass that puts something before it gives the name to the new value.
 */
import { defineErrors } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';

interface Block {
  /** `backbone.layers.0.mixer`. */
  readonly stem: string;
  /** Channels of x, z and y. */
  readonly inner: number;
  readonly stateSize: number;
  readonly inProj: Linear;
  readonly outProj: Linear;
}

/** The input projection gives z, x, B, C and dt, in this order of rows. */
export interface Mamba2Block extends Block {
  readonly kind: 'mamba2';
  readonly heads: number;
  readonly headDim: number;
  /** Heads of a group share B and C. */
  readonly groups: number;
}

/** The input projection gives x and z; B, C and what step sizes are projected from come of x. */
export interface Mamba1Block extends Block {
  readonly kind: 'mamba';
  /** Rows: what step sizes are projected from, B, C. */
  readonly xProj: Linear;
  readonly stepProj: Linear;
}

export type MambaBlock = Mamba1Block | Mamba2Block;

/** Values of a block: gate, convolution's input, what step sizes are made from, and what the scan reads, keeps and gives. */
export type MambaValue = 'z' | 'xBC' | 'dt_raw' | 'dt_low' | 'x' | 'B' | 'C' | 'state' | 'y';
export const mambaValue = ({ stem }: Pick<Block, 'stem'>, name: MambaValue): string => `${stem}.${name}`;

const errors = defineErrors('mamba', {
  none: (f: { graph: string }) => [`${f.graph} has no Mamba blocks`, 'the recipe is for state-space models that were opened from their folder'] as const,
  onlySecond: (f: { graph: string; step: string }) => [`${f.step} needs the heads of Mamba-2, and ${f.graph} is a Mamba-1`, 'leave the step out, or choose mambaquant'] as const,
});

/** In order of execution; throws where there are none. */
export function mambaBlocks(graph: Graph): MambaBlock[] {
  const [second, first] = [graph.metadata.get('mamba2'), graph.metadata.get('mamba')];
  const sites = new Map(linearSites(graph).map((site) => [site.id, site]));
  const of = (stem: string, part: string): Linear | undefined => sites.get(`${stem}.${part}.weight`);
  const blocks = [...sites.values()].flatMap((inProj): MambaBlock[] => {
    const stem = /^(.+)\.in_proj\.weight$/.exec(inProj.id)?.[1] ?? '';
    const [outProj, xProj, stepProj] = [of(stem, 'out_proj'), of(stem, 'x_proj'), of(stem, 'dt_proj')];
    const rates = graph.weights.get(`${stem}.A_log`)?.shape;
    if (outProj === undefined || rates === undefined) return [];
    const shared = { stem, inner: outProj.cols, inProj, outProj };
    if (second !== undefined) return [{ ...shared, kind: 'mamba2', ...(JSON.parse(second) as { groups: number; stateSize: number }), heads: rates[0], headDim: outProj.cols / rates[0] }];
    return first === undefined || xProj === undefined || stepProj === undefined ? [] : [{ ...shared, kind: 'mamba', stateSize: rates[1], xProj, stepProj }];
  });
  if (blocks.length === 0) throw errors.none({ graph: graph.name });
  return blocks;
}

/** As `mambaBlocks`, for what only Mamba-2 has; `step` asks. */
export function mamba2Blocks(graph: Graph, step: string): Mamba2Block[] {
  return mambaBlocks(graph).map((block) => {
    if (block.kind !== 'mamba2') throw errors.onlySecond({ graph: graph.name, step });
    return block;
  });
}
