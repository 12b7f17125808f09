/** Channel balancing whose strength is swept on the error of the network's outputs in the formats that were asked for. */
import type { Feeds, Session } from '../../engine/session.ts';
import type { NumberFormat } from '../../formats/format.ts';
import type { Graph } from '../../graph/graph.ts';
import { linearSites, type Linear } from '../../graph/linear.ts';
import { squaredDistance } from '../../numeric/statistics.ts';
import { observeChannelMaxima, outlierRatio } from '../../observe/channel-maxima.ts';
import { openGraph, type Batches } from '../../observe/taps.ts';
import { quantizedLazily, type QuantizedMatrix } from '../../round/quantized-matrix.ts';
import { simulateQuantized } from '../../train/quantize-inputs.ts';
import { balanceFactors, balanceInputs } from '../../transform/balance.ts';
import { maxima } from '../../transform/smoothquant.ts';
import type { RecipeState, StepContext, StepRunner } from '../state.ts';

export const balance: StepRunner<'balance'> = async (state, { step, alphas }, context) => {
  const { options } = context;
  const batches = context.batches(state, step);
  const sites = linearSites(state.graph).filter((site) => (site.kind === 'MatMul' || site.kind === 'Gemm') && context.formatOf(state, site) !== undefined);
  const seen = await observeChannelMaxima(state.graph, options.engine, batches(), sites);
  const weights = await weightMaxima(sites);
  const balanced = (alpha: number): Promise<Graph> =>
    balanceInputs(state.graph, new Map([...seen].map(([value, [activation]]) => [value, balanceFactors(activation, weights.get(value)!, alpha)])));
  const float = await outputs(state.graph, batches(), context);
  const errorOf = async (graph: Graph): Promise<number> => squaredDistance(float, await outputs(await asAsked(graph, state, context), batches(), context));
  // Without any balancing is a choice like the others.
  let best = { graph: state.graph, error: await errorOf(state.graph), name: 'none' };
  const [unbalanced] = [best.error];
  for (const alpha of alphas) {
    const graph = await balanced(alpha);
    const error = await errorOf(graph);
    options.onLine?.(`balancing, alpha ${alpha}: ${(error / unbalanced).toFixed(3)} of the error without`);
    if (error < best.error) best = { graph, error, name: String(alpha) };
  }
  const ratios = [...seen.values()].map(([activation]) => outlierRatio(activation));
  const note = `balancing: alpha ${best.name} of ${alphas.join(', ')}, squared error of the outputs ${(best.error / unbalanced).toFixed(3)} times that without; largest channel over the median one ${Math.max(...ratios).toFixed(1)}`;
  return { ...state, graph: best.graph, notes: [...state.notes, note] };
};

/** Largest magnitude of each column over all sites that read a value, by value. */
export async function weightMaxima(sites: readonly Linear[]): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const site of sites) {
    const largest = found.get(site.input) ?? new Float32Array(site.cols);
    maxima(largest, await site.weightMatrix(), site);
    found.set(site.input, largest);
  }
  return found;
}

/** The graph as it computes with weights rounded to nearest and inputs measured as they come, in the formats asked for. */
export async function asAsked(graph: Graph, state: RecipeState, context: StepContext): Promise<Graph> {
  const weights = new Map<string, QuantizedMatrix>();
  const activations = new Map<string, NumberFormat>();
  for (const site of linearSites(graph)) {
    const [format, input] = [context.formatOf(state, site), context.activationOf(state, site)];
    if (format === undefined) continue;
    weights.set(site.id, quantizedLazily(site, format, { name: site.id }));
    if (input !== undefined) activations.set(site.output, input);
  }
  return simulateQuantized(graph, weights, activations);
}

/** The first output over all batches. */
export async function outputs(graph: Graph, batches: Batches, { options: { engine, threads = 1 } }: StepContext): Promise<Float32Array> {
  const session = await openGraph(graph, engine, { threads });
  try {
    return await outputsOf(session, batches);
  } finally {
    await session.dispose();
  }
}

/** The first output of a session over all batches, `more` fed with each. */
export async function outputsOf(session: Session, batches: Batches, more: Feeds = {}): Promise<Float32Array> {
  const [{ name }] = session.outputs;
  const parts: Float32Array[] = [];
  for await (const feeds of batches as AsyncIterable<Feeds>) parts.push((await session.run({ ...feeds, ...more }, [name]))[name].data as Float32Array);
  const all = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}
