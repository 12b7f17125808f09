/**
 * Activations at both ends of a network that static int8 leaves float. What the last convolutions give is never read
 * in integers again, and rounding it would only add noise to the outputs. What the first layers give is inherited by all
 * others: it stays float where calibration data show that much of the outputs' noise begins there.
 */
import { planStatic } from '../export/onnx-static-plan.ts';
import { usedNames } from '../graph/traverse.ts';
import type { Applied } from '../recipes/apply.ts';
import type { StaticNoise } from './static-noise.ts';

/**
 * What is left float must take away this share of the noise, and this many times the share that so many
 * activations have on average: layers whose inputs or results are float are slow.
 */
const worthwhile = { share: 0.2, timesAverage: 10 };

/** Whether `count` activations of `all` that make this share of the noise are worth leaving float. */
export const paysAsFloat = (share: number, count: number, all: number): boolean => share >= worthwhile.share && share >= (worthwhile.timesAverage * count) / all;

/** The same weights with the ranges of those activations dropped, so that exporters keep them float. */
export async function floatEnds(applied: Applied, sqnrOf: StaticNoise): Promise<Applied> {
  const { first, last } = endsOf(applied);
  const bare = without(applied, last);
  if (first.length === 0) return bare;
  const barer = without(bare, first);
  const share = 1 - 10 ** (((await sqnrOf(bare)) - (await sqnrOf(barer))) / 10);
  return paysAsFloat(share, first.length, bare.ranges.size) ? barer : bare;
}

/** The same with activations that have no range any more, so that exporters keep them float. */
export const without = (applied: Applied, values: readonly string[]): Applied =>
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
