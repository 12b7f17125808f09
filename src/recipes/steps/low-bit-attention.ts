/** Attention of a graph in low bits: every layer is measured on the sample inputs beside the float one, and takes 8 bits where 4 are too few. */
import { defineErrors } from '../../errors.ts';
import { attentionSites, type AttentionSite } from '../../graph/attention.ts';
import { extend } from '../../graph/extend.ts';
import { withOutputs } from '../../graph/outputs.ts';
import type { Graph } from '../../graph/graph.ts';
import { sortNodes } from '../../graph/traverse.ts';
import { cosine } from '../../numeric/statistics.ts';
import { someBatches } from '../../observe/some-batches.ts';
import { openGraph, type Batches } from '../../observe/taps.ts';
import { appendLowBitAttention, lowBitAttentionGraph, type GraphAttention } from '../../train/low-bit-attention.ts';
import type { Engine } from '../../engine/session.ts';
import type { StepRunner } from '../state.ts';

const errors = defineErrors('low-bit attention', {
  none: (_: Record<string, never>) => ['no attention was found: a product of two activations, a softmax over the last axis, and a product with values', 'fused attention operators must be written in these first'] as const,
});

/** Samples that layers are measured on. */
const measuredSamples = 8;

export const lowBitAttention: StepRunner<'low-bit-attention'> = async (state, { step, bits, least }, context) => {
  const sites = attentionSites(state.graph);
  if (sites.length === 0) throw errors.none({});
  const { engine, threads } = context.options;
  const likeness = bits === 8 ? undefined : await layerLikeness(state.graph, sites, { bits }, engine, context.batches(state, step)(), threads);
  const wide = sites.filter(({ id }) => (likeness?.get(id) ?? 0) < least);
  const graph = lowBitAttentionGraph(state.graph, new Map(sites.map((site) => [site.id, { site, how: { bits: wide.includes(site) ? 8 as const : bits } }])));
  const found = likeness === undefined ? '' : `; cosines of outputs with ${bits} bits ${[...likeness.values()].map((value) => value.toFixed(4)).join(', ')}`;
  return { ...state, graph, notes: [...state.notes, `attention of ${sites.length} layers: queries and keys smoothed, ${sites.length - wide.length} layers with codes of ${bits} bits and ${wide.length} with 8, probabilities and values in E4M3${found}; standard operators compute what low-bit arithmetic would, slower than float`] };
};

/** Mean cosine of each layer's output to the float one, on the inputs that the float graph gives it, by site. */
export async function layerLikeness(graph: Graph, sites: readonly AttentionSite[], how: GraphAttention, engine: Engine, batches: Batches, threads?: number): Promise<Map<string, number>> {
  const { graph: extended, result } = extend(graph, (tape) => new Map(sites.map((site) => [site.id, appendLowBitAttention(tape, site, how)])));
  const names = [...result].flat();
  const session = await openGraph(await withOutputs({ ...extended, nodes: sortNodes(extended) }, names), engine, threads === undefined ? {} : { threads });
  try {
    const { feeds } = await someBatches(batches, measuredSamples);
    const sums = new Map(sites.map(({ id }) => [id, 0]));
    for (const batch of feeds) {
      const made = await session.run(batch, names);
      for (const [id, name] of result) sums.set(id, sums.get(id)! + cosine(made[id].data as Float32Array, made[name].data as Float32Array) / feeds.length);
    }
    return sums;
  } finally {
    await session.dispose();
  }
}
