/**
 * Activations at both ends of a network that static int8 leaves float. What the last convolutions give is never read
 * in integers again, and rounding it would only add noise to the outputs. What the first layers give is inherited by all
 * others: it stays float where calibration data show that this brings the outputs much nearer to the float model's.
 */
import type { Engine } from '../engine/session.ts';
import { planStatic } from '../export/onnx-static-plan.ts';
import { usedNames } from '../graph/traverse.ts';
import type { Batches } from '../observe/taps.ts';
import type { Applied } from '../recipes/apply.ts';
import { staticNoise } from './static-noise.ts';

/** dB that float results of the first layers must bring: a fifth of the noise. */
const worthwhile = 1;

/** The same weights with the ranges of those activations dropped, so that exporters keep them float. */
export async function floatEnds(applied: Applied, engine: Engine, batches: Batches): Promise<Applied> {
  const { first, last } = endsOf(applied);
  const bare = without(applied, last);
  if (first.length === 0) return bare;
  const sqnrOf = await staticNoise(applied.graph, engine, batches);
  const gain = (await sqnrOf(without(bare, first))) - (await sqnrOf(bare));
  return gain >= worthwhile ? without(bare, first) : bare;
}

const without = (applied: Applied, values: readonly string[]): Applied =>
  ({ ...applied, ranges: new Map([...applied.ranges].filter(([value]) => !values.includes(value))) });

/** Results of the layers that no other layer precedes, and of the convolutions that none follows. */
function endsOf({ graph, weights, ranges }: Applied): { first: readonly string[]; last: readonly string[] } {
  const { sites, made } = planStatic(graph, { isSite: ({ id }) => weights.has(id), hasRange: (value) => ranges.has(value) });
  const behind = new Set<string>();
  const before = new Set<string>();
  for (const node of graph.nodes) {
    if (sites.has(node) || [...usedNames(node)].some((name) => behind.has(name))) for (const output of node.outputs) behind.add(output);
  }
  for (const node of [...graph.nodes].reverse()) {
    if (sites.has(node) || node.outputs.some((output) => before.has(output))) for (const name of usedNames(node)) before.add(name);
  }
  const results = [...made.values()].filter(({ node }) => sites.has(node));
  const last = results.filter(({ node }) => node.op === 'Conv' && !before.has(node.outputs[0]));
  const first = results.filter((one) => !last.includes(one) && ![...usedNames(one.node)].some((name) => behind.has(name)));
  return { first: first.map(({ value }) => value), last: last.map(({ value }) => value) };
}
