/**
 * Channels of a Mamba-2 scan in another order: heads among the heads of their group, channels within their head. The scan
 * treats channels alike, so rows of what makes them and columns of what reads them are all that changes
 * (Quamba2, arXiv:2503.22879, section 4.2).
 */
import type { Graph } from '../graph/graph.ts';
import { linearSites, withMatrix } from '../graph/linear.ts';
import { readFloats } from '../graph/values.ts';
import { floatTensor } from '../tensor-ref.ts';
import { contiguousClusters, wardClusters } from '../numeric/cluster.ts';
import { mambaValue, type Mamba2Block } from './mamba-blocks.ts';

/** Channels that share a scale: the heads of a cluster, side by side, each cut at the same places. */
export interface HeadCluster {
  readonly heads: number;
  /** Channels of each run; they sum to the channels of a head. */
  readonly runs: readonly number[];
}

export interface ScanOrder {
  /** Old channel at each new place. */
  readonly channels: readonly number[];
  /** Old head at each new place. */
  readonly heads: readonly number[];
  /** By state group. */
  readonly clusters: readonly (readonly HeadCluster[])[];
}

/**
 * Sort and cluster: channels of a head ascend by size, heads with profiles alike stand together (Ward), and the channels
 * of a head cluster fall into runs. `sizes` is one number per channel; fewer heads than clusters make a cluster each.
 */
export function sortAndCluster(sizes: ArrayLike<number>, { heads, headDim, groups }: Pick<Mamba2Block, 'heads' | 'headDim' | 'groups'>, headClusters: number, channelClusters: number): ScanOrder {
  const perGroup = heads / groups;
  const sorted = Array.from({ length: heads }, (_, head) => Array.from({ length: headDim }, (_one, i) => head * headDim + i).sort((a, b) => sizes[a] - sizes[b] || a - b));
  const profile = (head: number): number[] => sorted[head].map((channel) => sizes[channel]);
  const order: ScanOrder & { channels: number[]; heads: number[]; clusters: HeadCluster[][] } = { channels: [], heads: [], clusters: [] };
  for (let group = 0; group < groups; group++) {
    const own = Array.from({ length: perGroup }, (_, i) => group * perGroup + i);
    const labels = wardClusters(own.map((head) => unit(profile(head))), Math.min(headClusters, perGroup));
    order.clusters.push([...new Set(labels)].sort((a, b) => a - b).map((label): HeadCluster => {
      const members = own.filter((_, i) => labels[i] === label);
      const profiles = members.map(profile);
      order.heads.push(...members);
      order.channels.push(...members.flatMap((head) => sorted[head]));
      return { heads: members.length, runs: contiguousClusters(sorted[0].map((_, place) => profiles.map((values) => values[place])), Math.min(channelClusters, headDim)) };
    }));
  }
  return order;
}

function unit(values: readonly number[]): number[] {
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? [...values] : values.map((value) => value / length);
}

/** Number of the scale that each channel takes: clusters count through all groups. */
export function scaleIndices({ clusters }: Pick<ScanOrder, 'clusters'>): number[] {
  let next = 0;
  return clusters.flat().flatMap(({ heads, runs }) => {
    const first = next;
    next += runs.length;
    const head = runs.flatMap((count, run) => Array<number>(count).fill(first + run));
    return Array.from({ length: heads }, () => head).flat();
  });
}

/** The graph with one block's channels in the new order. */
export async function reorderScan(graph: Graph, block: Mamba2Block, { channels, heads }: ScanOrder): Promise<Graph> {
  const { stem, inner, inProj, outProj } = block;
  const total = inProj.rows;
  /** Rows of the input projection: gate and x by channel, B and C as they were, dt by head. */
  const convolved = [...channels, ...range(inner, total - inner - heads.length)];
  const rows = [...channels, ...convolved.map((row) => inner + row), ...heads.map((head) => total - heads.length + head)];
  let next = withMatrix(graph, inProj, permutedRows(await inProj.weightMatrix(), rows, inProj.cols));
  const out = linearSites(next).find(({ id }) => id === outProj.id)!;
  next = withMatrix(next, out, permutedColumns(await out.weightMatrix(), channels));
  const weights = new Map(next.weights);
  const orders: Record<string, readonly number[]> = {
    [inProj.bias?.name ?? '']: rows, [`${stem}.conv1d.weight`]: convolved, [`${stem}.conv1d.bias`]: convolved,
    [`${stem}.A_log`]: heads, [`${stem}.dt_bias`]: heads, [`${stem}.D`]: heads, [`${stem}.norm.weight`]: channels,
  };
  // Factors of channels go with their channels.
  const [x, y] = [mambaValue(block, 'x'), mambaValue(block, 'y')];
  for (const node of next.nodes) {
    if (node.op !== 'Mul' || !(node.outputs[0] === x || node.inputs.includes(y))) continue;
    for (const name of node.inputs) if (weights.get(name)?.shape.join() === String(inner)) orders[name] = channels;
  }
  for (const [name, order] of Object.entries(orders)) {
    const weight = weights.get(name);
    if (weight === undefined) continue;
    const width = weight.shape.slice(1).reduce((product, dim) => product * dim, 1);
    weights.set(name, floatTensor(name, weight.shape, permutedRows(await readFloats(weight), order, width)));
  }
  return { ...next, weights };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

function permutedRows(values: Float32Array, order: readonly number[], width: number): Float32Array {
  const out = new Float32Array(values.length);
  order.forEach((from, to) => out.set(values.subarray(from * width, (from + 1) * width), to * width));
  return out;
}

function permutedColumns(values: Float32Array, order: readonly number[]): Float32Array {
  const width = order.length;
  return Float32Array.from(values, (_, i) => values[i - (i % width) + order[i % width]]);
}
