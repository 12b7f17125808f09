/**
 * The empirical diagonal Fisher matrix of weights: squares of the gradient of the next-token loss, summed over sequences
 * taken one by one (LQ-LoRA, arXiv:2311.12023, section 3.3).
 */
import type { Engine, Feeds } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import { bindToShapes } from '../graph/bind.ts';
import { lower } from '../graph/composite.ts';
import { gradient } from '../graph/gradient/gradient.ts';
import type { Graph } from '../graph/graph.ts';
import { transpose } from '../numeric/matrix.ts';
import { withOutputs } from '../graph/outputs.ts';
import type { Linear } from '../graph/linear.ts';
import { openGraph } from '../observe/taps.ts';
import { composites } from './composites/index.ts';
import { classification } from './objective.ts';

const errors = defineErrors('fisher', {
  tokens: (f: { input: string }) => [`the Fisher matrix is of next-token prediction, but input ${f.input} holds no tokens`, 'give text to a language model'],
});

/** The input that holds tokens: a language model's `input_ids` beside masks, positions and an empty cache, or the only one. */
const tokensIn = (feeds: Feeds): string | undefined => {
  const name = feeds.input_ids === undefined && Object.keys(feeds).length === 1 ? Object.keys(feeds)[0] : 'input_ids';
  return feeds[name]?.type === 'i64' && feeds[name].shape.length === 2 ? name : undefined;
};

/** Whether a network predicts tokens from those before: it has scores for every one, and besides tokens takes at most a cache. */
export function isText(feeds: Feeds, { outputs }: Pick<Graph, 'outputs'>): boolean {
  const names = Object.keys(feeds);
  const scores = outputs.find(({ name }) => name === 'logits');
  return tokensIn(feeds) !== undefined && (names.length === 1 || names.some((name) => name.startsWith('past_'))) && scores !== undefined && (scores.shape?.length ?? 3) === 3;
}

/** One sequence of a batch without its last token. */
function sequenceOf(feeds: Feeds, name: string, row: number): Feeds {
  const [count, tokens] = feeds[name].shape;
  return Object.fromEntries(Object.entries(feeds).map(([input, { type, shape, data }]) => {
    const each = data.length / count;
    const kept = shape.length === 2 && shape[1] === tokens ? each - 1 : each;
    return [input, { type, shape: shape.map((extent, axis) => (axis === 0 ? 1 : axis === 1 && kept < each ? extent - 1 : extent)), data: data.slice(row * each, row * each + kept) }];
  }));
}

/** Σ g² of each site's weight, row-major [rows, cols], by weight id; `batches` hold windows of tokens of equal length. */
export async function fisherDiagonals(graph: Graph, engine: Engine, batches: readonly Feeds[], sites: readonly Linear[], threads = 1): Promise<Map<string, Float32Array>> {
  const name = tokensIn(batches[0]);
  if (name === undefined || batches.some((feeds) => tokensIn(feeds) !== name)) throw errors.tokens({ input: Object.keys(batches[0]).join(', ') });
  const bound = await bindToShapes(graph, new Map(Object.entries(sequenceOf(batches[0], name, 0)).map(([input, { shape }]) => [input, shape])));
  const { graph: ending, loss, feed } = classification(bound, { logits: (bound.outputs.find((output) => output.name === 'logits') ?? bound.outputs[0]).name });
  const byId = new Map(sites.map((site) => [site.id, site]));
  const made = await gradient(ending, loss, [...byId.keys()], { composites });
  const results = [...byId.keys()].map((id) => made.gradients.get(id)!);
  const session = await openGraph(lower(await withOutputs({ ...made.graph, outputs: [] }, results), composites), engine, { threads });
  const sums = new Map<string, Float32Array>([...byId].map(([id, site]) => [id, new Float32Array(site.rows * site.cols)]));
  try {
    for (const feeds of batches) {
      const [count, tokens] = feeds[name].shape;
      const ids = Array.from(feeds[name].data as BigInt64Array, Number);
      for (let row = 0; row < count; row++) {
        const labels = { kind: 'classes' as const, values: ids.slice(row * tokens + 1, (row + 1) * tokens) };
        const found = await session.run({ ...sequenceOf(feeds, name, row), ...feed(labels, undefined) }, results);
        [...byId.keys()].forEach((id, k) => {
          const [g, sum] = [found[results[k]].data as Float32Array, sums.get(id)!];
          for (let i = 0; i < sum.length; i++) sum[i] += g[i] * g[i];
        });
      }
    }
  } finally {
    await session.dispose();
  }
  for (const [id, { transposed, rows, cols }] of byId) if (transposed) sums.set(id, transpose(sums.get(id)!, cols, rows));
  return sums;
}
