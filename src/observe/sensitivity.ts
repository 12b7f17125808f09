/**
 * What each layer costs at each format on its own: every other layer stays float, the distance between the outputs is the
 * mean KL divergence (ZeroQ, arXiv:2001.00281, section 3.2) or any other measure. One session serves all: weights are fed.
 */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { NumberFormat } from '../formats/format.ts';
import type { Graph } from '../graph/graph.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import { promoteWeights } from '../graph/promote.ts';
import { readFloats } from '../graph/values.ts';
import { klDivergence, logSoftmax } from '../numeric/distribution.ts';
import { noBatches, openGraph } from './taps.ts';

export interface SensitivityOptions {
  /** Value of the class scores; default the first output. */
  readonly logits?: string;
  /** Mean of both directions instead of KL(float ‖ quantized). */
  readonly symmetric?: boolean;
  onSite?(site: Linear, done: number, total: number): void;
}

export interface Sensitivity {
  readonly site: Linear;
  /** What the measure says (mean KL in nats, where nothing else was asked for) by format name. */
  readonly loss: ReadonlyMap<string, number>;
}

/** Losses of every site at every format, on a few batches of feeds. */
export async function siteSensitivities(
  graph: Graph, engine: Engine, batches: readonly Feeds[], sites: readonly Linear[], formats: readonly NumberFormat[], options: SensitivityOptions = {},
): Promise<Sensitivity[]> {
  if (batches.length === 0) throw noBatches({});
  const logits = options.logits ?? graph.outputs[0].name;
  const session = await openGraph(promoteWeights(graph, sites.map((site) => site.id)), engine);
  const run = async (weights: Feeds): Promise<Tensor[]> => {
    const results: Tensor[] = [];
    for (const feeds of batches) results.push((await session.run({ ...feeds, ...weights }, [logits]))[logits]);
    return results;
  };
  try {
    const float = await run(await floatWeights(sites));
    const distance = async (weights: Feeds): Promise<number> => meanDivergence(float, await run(weights), options.symmetric === true);
    return await replacedSensitivities(sites, formats, distance, options.onSite);
  } finally {
    await session.dispose();
  }
}

/** The weights of sites as feeds of a graph in which they were promoted. */
export async function floatWeights(sites: readonly Linear[]): Promise<Record<string, Tensor>> {
  const weights: Record<string, Tensor> = {};
  for (const { id, weight } of sites) weights[id] = { type: 'f32', shape: weight.shape, data: await readFloats(weight) };
  return weights;
}

/** What a measure says with one site at a time rounded to each format, all others float; the measure is given all weights. */
export async function replacedSensitivities(
  sites: readonly Linear[], formats: readonly NumberFormat[], measure: (weights: Feeds) => Promise<number>, onSite?: SensitivityOptions['onSite'],
): Promise<Sensitivity[]> {
  const weights = await floatWeights(sites);
  const found: Sensitivity[] = [];
  for (const site of sites) {
    const matrix = await site.weightMatrix();
    const loss = new Map<string, number>();
    for (const format of formats) {
      const decoded = format.decode(format.encode(matrix, site.rows, site.cols, { name: site.id }));
      loss.set(format.name, await measure({ ...weights, [site.id]: { type: 'f32', shape: site.weight.shape, data: storedOrder(site, decoded) } }));
    }
    found.push({ site, loss });
    onSite?.(site, found.length, sites.length);
  }
  return found;
}

/** Mean over rows of KL(p ‖ q) between softmaxes of logits, or of both directions. */
export function meanDivergence(float: readonly Tensor[], quantized: readonly Tensor[], symmetric = false): number {
  let sum = 0;
  let rows = 0;
  float.forEach((tensor, batch) => {
    const width = tensor.shape.at(-1)!;
    const [a, b] = [tensor.data as Float32Array, quantized[batch].data as Float32Array];
    for (let at = 0; at < a.length; at += width, rows++) {
      const [p, q] = [logSoftmax(a, at, width), logSoftmax(b, at, width)];
      sum += symmetric ? (klDivergence(p, q) + klDivergence(q, p)) / 2 : klDivergence(p, q);
    }
  });
  return sum / rows;
}
