/** What the experiment on COMET stands on: the cost model of its card, and attention through a 4-bit cache as the runtime has it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { distances, logitsOf, openLlama, window } from '../../src/reproductions/data/llama.ts';
import { heldInFewBits, plantKeyOutliers, withLowBitCache } from '../../src/reproductions/low-bit-cache.ts';
import { apartSpan, balancedSpan, leastSpan } from '../../src/reproductions/tile-schedule.ts';
import { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';

test('card: 14 tiles of 4 bits and 3 of 8 take 5 on four workers, 6 with a worker for 8 bits alone', () => {
  const tiles = { narrow: 14, wide: 3 };
  assert.deepEqual([leastSpan(tiles, 4), balancedSpan(tiles, 4), apartSpan(tiles, 3, 1)], [5, 5, 6]);
  assert.deepEqual([leastSpan({ narrow: 0, wide: 1 }, 4), balancedSpan({ narrow: 0, wide: 1 }, 4)], [2, 2]);
  for (let narrow = 0; narrow < 12; narrow++) for (let wide = 0; wide < 6; wide++) assert.ok(balancedSpan({ narrow, wide }, 3) >= leastSpan({ narrow, wide }, 3));
});

test('a simulated 4-bit cache gives the logits of the runtime’s own; the newest 32 tokens stay float', async () => {
  assert.deepEqual([0, 31, 62, 63, 94, 95, 255].map(heldInFewBits), [0, 0, 0, 32, 32, 64, 224]);
  const host = await openLlama();
  try {
    const judged = host.judged(1);
    const options = { bits: 4, length: window, queries: 4 };
    const float = await logitsOf(host.graph, judged, 1);
    const simulated = await logitsOf(withLowBitCache(host.graph, { ...options, keys: 'channel' }), judged, 1);
    const decoder = await LlamaDecoder.open(host.model.config as LlamaConfig, host.model.tensors, { cache: 'int4', context: window });
    const own = [decoder.feed(Array.from(judged[0].feeds.input_ids.data as BigInt64Array, Number), { all: true })];
    const effect = distances(float, simulated, judged).kl[0];
    assert.ok(effect > 1e-6 && distances(simulated, own, judged).kl[0] < effect / 1000);
    // Keys planted with outlier channels are the same float function, and lose much more where channels share scales.
    const planted = await plantKeyOutliers(host.graph, 32, 20);
    const [same, channel, token] = [planted, withLowBitCache(planted, { ...options, keys: 'channel' }), withLowBitCache(planted, { ...options, keys: 'token' })];
    const kl = await Promise.all([same, channel, token].map(async (graph) => distances(float, await logitsOf(graph, judged, 1), judged).kl[0]));
    assert.ok(kl[0] < 1e-9 && kl[1] < 2 * effect && kl[2] > 50 * effect, kl.join(' '));
  } finally {
    await host.close();
  }
});
