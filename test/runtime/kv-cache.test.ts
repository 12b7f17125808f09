/** Caches of keys and values: the same bits however tokens come in and go, and what few bits do to attention. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainKvCache } from '../../src/engine/kernels/kvcache-plain.ts';
import { plainVidAttention } from '../../src/engine/kernels/vidkv-plain.ts';
import { lowBitKernels } from '../../src/engine/kernels/lowbit.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';
import type { KvCache } from '../../src/runtime/kv-cache.ts';
import { blockCache, integerBlocks } from '../../src/runtime/kv-cache-blocks.ts';
import { vidBlocks } from '../../src/runtime/kv-cache-vid.ts';
import { cacheFormats, openCache, type CacheFormat } from '../../src/runtime/kv-caches.ts';

const [heads, kvHeads, headDim, context, chunk] = [4, 2, 32, 320, 32];
const width = kvHeads * headDim;
const [queryBytes, tokens] = [4 * heads * headDim, 300];

interface Bench {
  readonly cache: KvCache;
  /** Places tokens in chunks and gives the attention of each over [from, its own position]. */
  feed(position: number, count: number, size: number, window?: number): Float32Array[];
  put(position: number, ids: readonly number[]): void;
  ask(id: number, from: number, to: number, listed?: readonly number[]): Float32Array;
}

/** Tokens are numbers; their queries, keys and values are drawn from them. */
function bench(open: (arena: Arena, shape: Parameters<typeof openCache>[3]) => KvCache): Bench {
  const arena = new Arena();
  const [query, out] = [arena.take(queryBytes), arena.take(queryBytes)];
  const cache = open(arena, { heads, kvHeads, headDim, context, chunk, scores: arena.take(4 * (context + 4)), listed: arena.take(4 * chunk) });
  const draw = (at: number, seed: number, id: number, count: number): void => {
    arena.floats(at, count).set(Float32Array.from({ length: count }, (_, i) => normal(seed, id, i) + (seed === 1 ? 0 : normal(seed + 5, 0, i))));
  };
  const made: Bench = {
    cache,
    put(position, ids) {
      const at = cache.place(position, ids.length);
      ids.forEach((id, i) => {
        draw(at.keys + 4 * i * width, 2, id, width);
        draw(at.values + 4 * i * width, 3, id, width);
      });
    },
    ask(id, from, to, listed) {
      draw(query, 1, id, heads * headDim);
      cache.attend(query, out, from, to, listed);
      return arena.floats(out, heads * headDim).slice();
    },
    feed(position, count, size, window = context) {
      const outs: Float32Array[] = [];
      for (let at = position; at < position + count; at += size) {
        const ids = Array.from({ length: Math.min(size, position + count - at) }, (_, i) => at + i);
        made.put(at, ids);
        for (const id of ids) outs.push(made.ask(id, Math.max(0, id + 1 - window), id + 1));
      }
      return outs;
    },
  };
  return made;
}

const opened = (format: CacheFormat): Bench => bench((arena, shape) => openCache(format, arena, lowBitKernels(arena.memory), shape));

for (const format of cacheFormats) {
  test(`${format}: the same bits for chunks of any size`, () => {
    const single = opened(format).feed(0, tokens, 1);
    for (const size of [32, 7]) assert.deepEqual(opened(format).feed(0, tokens, size), single);
  });

  test(`${format}: what is taken back and placed again gives the same bits, at the edge of a block and beside it`, () => {
    const expected = opened(format).feed(0, tokens, 1);
    for (const [read, back] of [[64, 63], [96, 64], [97, 65], [128, 96], [160, 97], [129, 127], [300, 268]]) {
      const { cache, feed, put } = opened(format);
      feed(0, read, 32);
      // Others were there in between, and went into a block where they filled one.
      assert.equal(cache.rewind(back), back);
      put(back, Array.from({ length: 20 }, (_, i) => 1000 + i));
      assert.equal(cache.rewind(back), back);
      assert.deepEqual(feed(back, tokens - back, 5), expected.slice(back));
    }
  });

  test(`${format}: tokens of a tree attend, and are kept, as if they had come one by one`, () => {
    const expected = opened(format).feed(0, tokens, 1);
    for (const position of [50, 63, 64, 95, 127, 128, 250]) {
      const { cache, feed, put, ask } = opened(format);
      feed(0, position, 32);
      const path = [1, 4, 5, 9, 20, 31];
      put(position, Array.from({ length: chunk }, (_, row) => (path.includes(row) ? position + path.indexOf(row) : 2000 + row)));
      path.forEach((_, depth) => assert.deepEqual(ask(position + depth, 0, position, path.slice(0, depth + 1).map((row) => position + row)), expected[position + depth]));
      cache.keep(position, path);
      const kept = position + path.length;
      assert.equal(cache.rewind(kept), kept);
      assert.deepEqual(feed(kept, tokens - kept, 3), expected.slice(kept));
    }
  });
}

/** Σ (a − b)² / Σ b² over all tokens. */
const distance = (found: readonly Float32Array[], expected: readonly Float32Array[]): number => {
  const sum = (f: (i: number, c: number) => number): number => expected.reduce((total, row, i) => total + row.reduce((t, _, c) => t + f(i, c) ** 2, 0), 0);
  return Math.sqrt(sum((i, c) => found[i][c] - expected[i][c]) / sum((i, c) => expected[i][c]));
};

test('few bits: near the float cache, nearer with 8 than with 4; nothing is rounded before the window of newest tokens is full', () => {
  const float = opened('float').feed(0, tokens, 32);
  const [eight, four] = (['int8', 'int4'] as const).map((format) => opened(format).feed(0, tokens, 32));
  assert.ok(distance(eight.slice(0, 63), float.slice(0, 63)) < 1e-6);
  assert.ok(distance(four.slice(0, 63), float.slice(0, 63)) < 1e-6);
  assert.ok(distance(eight, float) < 0.01, `${distance(eight, float)}`);
  assert.ok(distance(four, float) < 0.1, `${distance(four, float)}`);
  assert.ok(distance(four, float) > 4 * distance(eight, float));
});

test('few bits: a sliding window begins within a block', () => {
  const float = opened('float').feed(0, tokens, 32, 77);
  assert.ok(distance(opened('int8').feed(0, tokens, 32, 77), float) < 0.01);
  assert.ok(distance(opened('int8').feed(0, tokens, 32, 20), opened('float').feed(0, tokens, 32, 20)) < 1e-6);
});

test('few bits: going back further than floats are held forgets everything, and says so', () => {
  const { cache, feed } = opened('int4');
  const expected = feed(0, tokens, 32);
  assert.equal(cache.rewind(100), 0);
  assert.deepEqual(feed(0, tokens, 32), expected);
});

test('few bits: the bits of the plain kernels', () => {
  const plain = bench((arena, shape) => blockCache(integerBlocks(4, arena, headDim, plainKvCache(arena.memory)), arena, shape));
  assert.deepEqual(plain.feed(0, 140, 32).slice(120), opened('int4').feed(0, 140, 32).slice(120));
  const vid = bench((arena, shape) => blockCache(vidBlocks(arena, headDim, plainVidAttention(arena.memory)), arena, shape));
  assert.deepEqual(vid.feed(0, 140, 32, 77).slice(90), opened('vidkv').feed(0, 140, 32, 77).slice(90));
});

test('bytes: a quarter and a seventh of the float cache, with scales, minima and the newest tokens', () => {
  const bytes = (format: CacheFormat): number => {
    const arena = new Arena();
    return openCache(format, arena, lowBitKernels(arena.memory), { heads: 8, kvHeads: 8, headDim: 64, context: 32_768, chunk, scores: 0, listed: 0 }).bytes;
  };
  assert.equal(bytes('float'), 2 * 32_768 * 512 * 4);
  // 128 float tokens; 1023 blocks of 32: 8 (4) bits, a scale and a minimum per channel over 32 tokens and per token over 64 channels.
  assert.equal(bytes('int8'), 2 * 128 * 2048 + 1023 * 8 * (2 * 32 * 64 + 4 * 64 + 4 * 32));
  assert.equal(bytes('int4'), 2 * 128 * 2048 + 1023 * 8 * (32 * 64 + 4 * 64 + 4 * 32));
});
