/** Queries, keys and values of every attention layer of a host, as its graph multiplies them: after positions are turned in, one head at a time. */
import { causal } from '../../engine/kernels/attention.ts';
import { ortNode } from '../../engine/ort-node.ts';
import type { Feeds } from '../../engine/session.ts';
import type { Tensor } from '../../engine/tensor.ts';
import { attentionSites } from '../../graph/attention.ts';
import type { Graph } from '../../graph/graph.ts';
import { withOutputs } from '../../graph/outputs.ts';
import { transpose } from '../../numeric/matrix.ts';
import { openGraph } from '../../observe/taps.ts';
import type { AttentionHead } from '../../round/low-bit-attention.ts';

export interface CapturedLayer { readonly id: string; readonly heads: readonly AttentionHead[] }

/** `scale` is what the graph multiplies scores by; a causal graph sees the keys before and at each query. */
export async function captureAttention(graph: Graph, batches: readonly Feeds[], { isCausal, scale, threads }: { readonly isCausal: boolean; readonly scale: number; readonly threads: number }): Promise<CapturedLayer[]> {
  const sites = attentionSites(graph);
  const names = [...new Set(sites.flatMap(({ query, keys, values }) => [query, keys, values]))];
  const session = await openGraph(await withOutputs(graph, names), ortNode, { threads });
  const found = new Map(sites.map(({ id }) => [id, [] as AttentionHead[]]));
  try {
    for (const feeds of batches) {
      const made = await session.run(feeds, names);
      for (const { id, query, keys, values } of sites) found.get(id)!.push(...headsOf(made[query], made[keys], made[values], scale, isCausal));
    }
  } finally {
    await session.dispose();
  }
  return sites.map(({ id }) => ({ id, heads: found.get(id)! }));
}

/** Queries [n, kvHeads, rows, width], keys [n, kvHeads, width, keys]; query heads that share keys lie behind each other in the rows. */
function headsOf(query: Tensor, keys: Tensor, values: Tensor, scale: number, isCausal: boolean): AttentionHead[] {
  const [width, count] = keys.shape.slice(-2);
  const rows = query.shape.at(-2)!;
  const sharing = isCausal ? rows / count : 1;
  const [q, k, v] = [query, keys, values].map(({ data }) => data as Float32Array);
  return Array.from({ length: (q.length / (rows * width)) * sharing }, (_, h) => {
    const kv = Math.floor(h / sharing);
    const length = rows / sharing;
    const turned = transpose(k.subarray(kv * count * width, (kv + 1) * count * width), width, count);
    return {
      query: q.slice(h * length * width, (h + 1) * length * width), keys: turned, values: v.slice(kv * count * width, (kv + 1) * count * width), width, scale,
      ...(isCausal ? { visible: causal(length, count) } : {}),
    };
  });
}
