/** Models with keys and values in few bits: logits near those of the float cache, the same however tokens come. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeTeam } from '../../src/engine/kernels/lowbit-team-node.ts';
import { run } from '../../src/jobs/run-node.ts';
import { openSource } from '../../src/jobs/source-node.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { klDivergence, logSoftmax } from '../../src/numeric/distribution.ts';
import { cacheFormats, type CacheFormat } from '../../src/runtime/kv-caches.ts';
import { LlamaDecoder, type DecoderOptions } from '../../src/runtime/llama-decoder.ts';
import { PrefixCache } from '../../src/runtime/prefix-cache.ts';

const location = fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url));
const source = await openSource(location);
const language = source.language!;
after(() => source.close());
const scene = `KING RICHARD II:
Give me the crown. Here, cousin, seize the crown;
Here cousin:
On this side my hand, and on that side yours.
Now is this golden crown like a deep well
That owes two buckets, filling one another,
The emptier ever dancing in the air,
The other down, unseen and full of water:
That bucket down and full of tears am I,
Drinking my griefs, whilst you mount up on high.

HENRY BOLINGBROKE:
I thought you had been willing to resign.`;
const tokens = openTokenizer(language.tokenizer!).encode(scene, { addSpecialTokens: false });
const vocabulary = language.config.vocabSize;
const open = (cache: CacheFormat, options: DecoderOptions = {}) => LlamaDecoder.open(language.config as LlamaConfig, language.tensors, { cache, ...options });
const float = (await open('float')).feed(tokens, { all: true });

/** Mean KL of the float cache's predictions to others, over tokens that read some positions in few bits. */
function divergence(found: Float32Array): number {
  let sum = 0;
  for (let t = 63; t < tokens.length; t++) sum += klDivergence(logSoftmax(float, t * vocabulary, vocabulary), logSoftmax(found, t * vocabulary, vocabulary));
  return sum / (tokens.length - 63);
}

for (const [cache, bound] of [['int8', 1e-4], ['int4', 2e-2], ['vidkv', 5e-2]] as const) {
  test(`${cache}: ${tokens.length} tokens of Shakespeare within ${bound} nats of the float cache; token by token, and on threads, the same bits`, async () => {
    const decoder = await open(cache);
    const found = decoder.feed(tokens, { all: true });
    const far = divergence(found);
    assert.ok(far > 0 && far < bound, `${far} nats`);
    const single = await open(cache);
    tokens.forEach((id, t) => assert.deepEqual(single.feed([id]), found.subarray(t * vocabulary, (t + 1) * vocabulary)));
    const team = await open(cache, { team: nodeTeam(2) });
    try {
      assert.deepEqual(team.feed(tokens, { all: true }), found);
    } finally {
      team.dispose();
    }
    const back = tokens.length - 20;
    assert.equal(decoder.rewind(back), back);
    assert.deepEqual(decoder.feed(tokens.slice(back)), found.subarray(-vocabulary));
  });
}

test('a prompt that shares too little with the last one is read from the beginning, and gives the same logits', async () => {
  const decoder = new PrefixCache(await open('int4'));
  const other = [...tokens.slice(0, 20), ...tokens.slice(60)];
  const fresh = (await open('int4')).feed(other);
  await decoder.feed(tokens);
  assert.equal(decoder.begin(other), 0);
  assert.deepEqual(await decoder.feed(other), fresh);
  const near = [...other.slice(0, -10), ...tokens.slice(0, 10)];
  assert.equal(decoder.begin(near), other.length - 10);
  assert.deepEqual(await decoder.feed(near.slice(other.length - 10)), (await open('int4')).feed(near));
});

test('run holds keys and values as it is told, and counts them', async () => {
  const bytes = await Promise.all(cacheFormats.map(async (cache) => (await run({ model: location, prompt: scene, maxTokens: 3, threads: 1, cache })).bytes));
  const [whole, eight, four, vid] = bytes.map(({ cache }) => cache);
  // Six layers of two heads of 32; all 256 positions in float, or the newest 128 and seven blocks of 32.
  assert.equal(whole, 6 * 2 * 256 * 64 * 4);
  assert.equal(eight, 6 * (2 * 128 * 64 * 4 + 7 * 2 * (2 * 32 * 32 + 4 * 32 + 4 * 32)));
  assert.equal(four, 6 * (2 * 128 * 64 * 4 + 7 * 2 * (32 * 32 + 4 * 32 + 4 * 32)));
  // Keys: marks, 16 loud channels with two numbers and 64 bits, 16 quiet ones with one and 32; values: 32 numbers, and trits, five to a byte.
  const block = 4 + 16 * (4 + 8) + 16 * (2 + 4) + 32 * 2 + Math.ceil((32 * 32) / 5);
  assert.equal(vid, 6 * (2 * 128 * 64 * 4 + 7 * 2 * block + 16 * 16 * 4 + 256 * 8));
  assert.ok(bytes.every(({ cache, memory }) => cache < memory));
  await assert.rejects(run({ model: location, prompt: scene, cache: 'int3' as 'int4' }), /"float"\|"int8"\|"int4"\|"vidkv"/);
});
