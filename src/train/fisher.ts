/**
 * The empirical diagonal Fisher matrix of weights: squares of the gradient of the next-token loss, summed over sequences
 * taken one by one (LQ-LoRA, arXiv:2311.12023, section 3.3).
 */
import type { Engine, Feeds } from '../engine/session.ts';
import { i64 } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { bindDimensions } from '../graph/bind.ts';
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

/** Whether a batch is tokens that predict each other. */
export const isText = (feeds: Feeds): boolean => Object.keys(feeds).length === 1 && Object.values(feeds)[0].type === 'i64' && Object.values(feeds)[0].shape.length === 2;

/** Σ g² of each site's weight, row-major [rows, cols], by weight id; `batches` hold windows of tokens of equal length. */
export async function fisherDiagonals(graph: Graph, engine: Engine, batches: readonly Feeds[], sites: readonly Linear[], threads = 1): Promise<Map<string, Float32Array>> {
  const [[name, first]] = Object.entries(batches[0]);
  if (!batches.every(isText)) throw errors.tokens({ input: name });
  const length = first.shape[1] - 1;
  const bound = await bindDimensions(graph, { batch: 1, sequence: length });
  const { graph: ending, loss, feed } = classification(bound, { logits: (bound.outputs.find((output) => output.name === 'logits') ?? bound.outputs[0]).name });
  const byId = new Map(sites.map((site) => [site.id, site]));
  const made = await gradient(ending, loss, [...byId.keys()], { composites });
  const results = [...byId.keys()].map((id) => made.gradients.get(id)!);
  const session = await openGraph(lower(await withOutputs({ ...made.graph, outputs: [] }, results), composites), engine, { threads });
  const sums = new Map<string, Float32Array>([...byId].map(([id, site]) => [id, new Float32Array(site.rows * site.cols)]));
  try {
    for (const feeds of batches) {
      const ids = Array.from(feeds[name].data as BigInt64Array, Number);
      for (let at = 0; at < ids.length; at += length + 1) {
        const labels = { kind: 'classes' as const, values: ids.slice(at + 1, at + length + 1) };
        const found = await session.run({ [name]: i64([1, length], ids.slice(at, at + length)), ...feed(labels, undefined) }, results);
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
