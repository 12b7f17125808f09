/**
 * Planted outliers: the same Mamba-2 with a few channels of x made large after convolution and activation, and y brought
 * back before the gate; of several state groups, B of the first made large and its C small. Channels pass the scan on
 * their own, and B and C meet in products, so the float function is the same.
 */
import type { Graph } from '../../graph/graph.ts';
import { uniform } from '../../numeric/random.ts';
import { floatTensor } from '../../tensor-ref.ts';
import { follow, interpose, type Interposed } from '../../transform/interpose.ts';
import { mamba2Blocks, mambaValue } from '../../transform/mamba-blocks.ts';

/** So many times as large, for one channel in so many; B of the first group. */
export const planted = { gain: 16, oneIn: 16, group: 8 };

export function plantScan(graph: Graph, seed: number): Graph {
  const gains = new Map<string, Float32Array>();
  mamba2Blocks(graph, 'planting').forEach((block, i) => {
    const own = Float32Array.from({ length: block.inner }, (_, channel) => (uniform(seed, i, channel) < 1 / planted.oneIn ? planted.gain : 1));
    gains.set(mambaValue(block, 'x'), own).set(mambaValue(block, 'y'), own.map((gain) => 1 / gain));
    if (block.groups === 1) return;
    const first = Float32Array.from({ length: block.groups * block.stateSize }, (_, at) => (at < block.stateSize ? planted.group : 1));
    gains.set(mambaValue(block, 'B'), first).set(mambaValue(block, 'C'), first.map((gain) => 1 / gain));
  });
  const writers = (behind: boolean) => new Map([...gains].filter(([value]) => value.endsWith('.y') === behind).map(([value, own]): [string, Interposed] =>
    [value, (tape, plain) => tape.op('Mul', [plain, tape.weight(floatTensor(`${value}_planted`, [own.length], own))])]));
  return follow(interpose(graph, writers(false)), writers(true));
}
