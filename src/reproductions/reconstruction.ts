/** ResNet-20 rounded by reconstruction: the arms that learned rounding is compared with, on the same layers and bits. */
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { NumberFormat } from '../formats/format.ts';
import { parseFormat } from '../formats/registry.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { withOutputs } from '../graph/outputs.ts';
import { openGraph } from '../observe/taps.ts';
import { quantizedLazily } from '../round/quantized-matrix.ts';
import { startStep } from '../train/activation-steps.ts';
import type { BlockResult } from '../train/reconstruct-block.ts';
import { reconstruct, simulateReconstructed, type ReconstructOptions } from '../train/reconstruct.ts';
import type { ValueQuantizer } from '../train/simulate.ts';

export interface Bits { readonly weights: number; readonly activations: number }

/** W2A4 and the like. */
export const spell = ({ weights, activations }: Bits): string => `W${weights}A${activations}`;

/** First and last layer keep 8 bits, as does what enters the second; the image itself is not rounded (BRECQ's convention). */
export function bitsPerSite(graph: Graph, { weights, activations }: Bits): Pick<ReconstructOptions, 'formatOf'> & { activationBits(site: Linear): number | undefined } {
  const sites = linearSites(graph);
  const [first, second, last] = [sites[0].id, sites[1].id, sites.at(-1)!.id];
  const format = (bits: number): NumberFormat => parseFormat(`uint${bits}/channel`);
  const [low, eight] = [format(weights), format(8)];
  return {
    formatOf: ({ id }) => (id === first || id === last ? eight : low),
    activationBits: ({ id, input }) => (id === first ? undefined : id === last || input === sites.find((site) => site.id === second)!.input ? 8 : activations),
  };
}

/** The graph with weights and activations rounded to nearest, scales and steps from the same searches as the learned arms start from. */
export async function roundedToNearest(graph: Graph, bits: Bits, feeds: Feeds): Promise<Graph> {
  const sites = linearSites(graph);
  const { formatOf, activationBits } = bitsPerSite(graph, bits);
  const weights = new Map(sites.map((site) => [site.id, quantizedLazily(site, formatOf(site)!, { name: site.id, search: 'p2.4' })]));
  const values = new Map(sites.flatMap((site) => { const own = activationBits(site); return own === undefined ? [] : [[site.input, own] as const]; }));
  const session = await openGraph(await withOutputs(graph, [...values.keys()]), ortNode);
  const seen = await session.run(feeds, [...values.keys()]);
  await session.dispose();
  const activations = new Map<string, ValueQuantizer>([...values].map(([value, own]) => [value, startStep(seen[value].data as Float32Array, own)]));
  return simulateReconstructed(graph, sites, { weights, activations });
}

/** What is changed between learned arms. */
export type Method = Pick<ReconstructOptions, 'unit' | 'scales' | 'drop'>;

export interface Learned { readonly graph: Graph; readonly blocks: readonly BlockResult[] }

export async function learned(
  graph: Graph, bits: Bits, feeds: Feeds, method: Method, options: Pick<ReconstructOptions, 'iterations' | 'batch' | 'seed' | 'threads'>,
): Promise<Learned> {
  const made = await reconstruct(graph, [feeds], { engine: ortNode, ...bitsPerSite(graph, bits), ...method, ...options });
  return { graph: await simulateReconstructed(graph, linearSites(graph), made), blocks: made.blocks };
}
