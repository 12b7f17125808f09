/**
 * Static scales of everything a Mamba block computes with, as Quamba2 has them (arXiv:2503.22879, section 4): of Mamba-2
 * x by cluster of channels, B and C by state group, the state by both and by its own index; the rest per tensor.
 */
import type { Graph } from '../graph/graph.ts';
import type { Magnitudes } from '../observe/magnitudes.ts';
import { mambaBlocks, mambaValue, type Mamba2Block, type MambaBlock } from './mamba-blocks.ts';
import { scaleIndices, type HeadCluster } from './mamba-order.ts';
import { symmetricScales, type StaticScale } from './static-scales.ts';

export interface SsmScaleOptions {
  readonly bits: number;
  /** Scales of x and of the state: one per tensor, or one per cluster of channels. */
  readonly channels: 'tensor' | 'cluster';
  /** Scales of B and C: one per tensor, or one per state group. */
  readonly groups: 'tensor' | 'group';
}

/** Values with scales, and how many of their last axes have magnitudes of their own. */
export function ssmSites(graph: Graph): Map<string, number> {
  return new Map(mambaBlocks(graph).flatMap((block): [string, number][] => [
    ...perTensor(block).map((value): [string, number] => [value, 1]),
    ...(['x', 'B', 'C'] as const).map((name): [string, number] => [mambaValue(block, name), 1]),
    [mambaValue(block, 'state'), block.kind === 'mamba2' ? 4 : 2],
  ]));
}

/** What has one scale in every arrangement. */
const perTensor = (block: MambaBlock): string[] =>
  [...new Set([block.inProj.input, ...(block.kind === 'mamba2' ? (['z', 'xBC', 'dt_raw'] as const) : (['z', 'xBC', 'dt_low'] as const)).map((name) => mambaValue(block, name)), block.outProj.input])];

/** Scales of every site from magnitudes, or from a clipped magnitude per tensor where `clipped` has one. */
export function ssmScales(graph: Graph, magnitudes: ReadonlyMap<string, Magnitudes>, options: SsmScaleOptions, clipped: ReadonlyMap<string, number> = new Map()): StaticScale[] {
  const clusters = clustersOf(graph);
  return mambaBlocks(graph).flatMap((block): StaticScale[] => {
    const of = (value: string): Float32Array => magnitudes.get(value)!.max;
    const tensorScale = (value: string): StaticScale =>
      ({ value, bits: options.bits, shape: [], scales: symmetricScales([clipped.get(value) ?? of(value).reduce((a, b) => Math.max(a, b), 0)], options.bits) });
    /** One scale for all entries with the same index. */
    const shared = (value: string, shape: readonly number[], index: (i: number) => number): StaticScale => {
      const maxima = of(value);
      const largest = new Map<number, number>();
      maxima.forEach((max, i) => largest.set(index(i), Math.max(largest.get(index(i)) ?? 0, max)));
      return { value, bits: options.bits, shape, scales: symmetricScales(maxima.map((_, i) => largest.get(index(i))!), options.bits) };
    };
    const [x, B, C, state] = (['x', 'B', 'C', 'state'] as const).map((name) => mambaValue(block, name));
    if (block.kind === 'mamba') return [...perTensor(block), x, B, C, state].map(tensorScale);
    const { groups, stateSize } = block;
    const own = clusters.get(block.stem);
    const cluster = own === undefined ? undefined : scaleIndices({ clusters: own });
    const byCluster = options.channels === 'cluster' && cluster !== undefined;
    return [
      ...perTensor(block).map(tensorScale),
      byCluster ? shared(x, [block.inner], (i) => cluster[i]) : tensorScale(x),
      ...[B, C].map((value) => (options.groups === 'group' && groups > 1 ? shared(value, [groups * stateSize], (i) => Math.floor(i / stateSize)) : tensorScale(value))),
      // [groups, heads of a group, state, channels of a head]
      byCluster ? stateScales(block, cluster, shared) : tensorScale(state),
    ];
  });
}

/** One scale per cluster and index of the state; the value is [groups, heads of a group, state, channels of a head]. */
function stateScales(block: Mamba2Block, cluster: readonly number[], shared: (value: string, shape: readonly number[], index: (i: number) => number) => StaticScale): StaticScale {
  const { groups, heads, headDim, stateSize } = block;
  const tableIndex = (i: number): number => {
    const head = Math.floor(i / (stateSize * headDim));
    return cluster[head * headDim + (i % headDim)] * stateSize + (Math.floor(i / headDim) % stateSize);
  };
  const whole = shared(mambaValue(block, 'state'), [groups, heads / groups, stateSize, headDim], tableIndex);
  const table = new Float32Array((Math.max(...cluster) + 1) * stateSize);
  whole.scales.forEach((scale, i) => { table[tableIndex(i)] = scale; });
  return { ...whole, gathered: { table, width: stateSize, index: cluster, shape: [groups, heads / groups, headDim, stateSize], perm: [0, 1, 3, 2] } };
}

const clustersKey = 'mamba2.clusters';

/** Clusters of channels by block, kept with the graph. */
export const clustersOf = (graph: Graph): Map<string, readonly (readonly HeadCluster[])[]> =>
  new Map(Object.entries(JSON.parse(graph.metadata.get(clustersKey) ?? '{}') as Record<string, HeadCluster[][]>));

export const withClusters = (graph: Graph, clusters: ReadonlyMap<string, readonly (readonly HeadCluster[])[]>): Graph =>
  ({ ...graph, metadata: new Map(graph.metadata).set(clustersKey, JSON.stringify(Object.fromEntries(clusters))) });
