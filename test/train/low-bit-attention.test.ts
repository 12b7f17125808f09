/** Attention rewritten in standard operators computes what the page of the method says, for lengths that divide nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { causal } from '../../src/engine/kernels/attention.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { attentionSites } from '../../src/graph/attention.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { lowBitAttention, nothingSmoothed } from '../../src/round/low-bit-attention.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { lowBitAttentionGraph, type GraphAttention } from '../../src/train/low-bit-attention.ts';

const width = 8;
/** Two heads, causal by an added mask, scaled after the first product. */
function attentionGraph(factor: readonly number[] = [1 / Math.sqrt(width)]): Graph {
  const g = new GraphBuilder('attention', 21);
  const [q, k, v] = ['q', 'k', 'v'].map((name) => g.input(name, 'f32', [1, 2, name === 'q' ? 'rows' : 'keys', width]));
  const mask = g.input('mask', 'f32', ['rows', 'keys']);
  const scores = g.op('MatMul', [q, g.op('Transpose', [k], { perm: ints([0, 1, 3, 2]) })]);
  const scaled = g.op('Mul', [scores, g.weight(floatTensor('factor', factor.length === 1 ? [] : [factor.length], Float32Array.from(factor)))]);
  g.output(g.op('MatMul', [g.op('Softmax', [g.op('Add', [scaled, mask])]), v]), 'y', 'f32', [1, 2, 'rows', width]);
  return g.graph();
}

const draws = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(5, stream, i) + 2);

for (const [rows, keys] of [[1, 1], [5, 60], [150, 150]]) {
  test(`${rows} queries and ${keys} keys: the page's outputs`, async () => {
    const data = { q: draws(2 * rows * width, 1), k: draws(2 * keys * width, 2), v: draws(2 * keys * width, 3) };
    const visible = causal(rows, keys);
    const mask = Float32Array.from({ length: rows * keys }, (_, i) => (i % keys < visible.shown + Math.floor(i / keys) ? 0 : -Infinity));
    const graph = attentionGraph();
    const sites = attentionSites(graph);
    assert.equal(sites.length, 1);
    const ways: readonly GraphAttention[] = [
      { bits: 4 }, { bits: 8, fp8: false }, { bits: 4, smooth: nothingSmoothed, fp8: false }, { bits: 4, smooth: { queries: true, keys: true, values: true }, fp8: true },
    ];
    for (const how of ways) {
      const session = await openGraph(lowBitAttentionGraph(graph, new Map([[sites[0].id, { site: sites[0], how }]])), ortNode);
      const { y } = await session.run({ q: f32([1, 2, rows, width], data.q), k: f32([1, 2, keys, width], data.k), v: f32([1, 2, keys, width], data.v), mask: f32([rows, keys], mask) });
      await session.dispose();
      for (let head = 0; head < 2; head++) {
        const part = (x: Float32Array, count: number): Float32Array => x.slice(head * count * width, (head + 1) * count * width);
        const { output } = lowBitAttention({ query: part(data.q, rows), keys: part(data.k, keys), values: part(data.v, keys), width, visible }, {
          smooth: how.smooth ?? { queries: true, keys: true, values: false }, codes: { bits: how.bits, grouping: 'thread' }, ...(how.fp8 === false ? {} : { fp8: 'float' as const }),
        });
        // Probabilities are rounded beside the top of the keys so far on the page, and of the row here: the same within one tile.
        const within = how.fp8 === false ? 1e-5 : keys <= 64 ? 1e-4 : 0.05;
        part(y.data as Float32Array, rows).forEach((value, i) => assert.ok(Math.abs(value - output[i]) < within, `${JSON.stringify(how)} at ${i}: ${value} against ${output[i]}`));
      }
    }
  });
}

test('products that a factor by channel stands behind are no attention, since a constant of the row would not cancel', () => {
  assert.equal(attentionSites(attentionGraph([1, 2, 3])).length, 0);
});
