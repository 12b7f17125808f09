/** Trees of tokens and several texts through one decoder: the bits of each text alone. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSource } from '../../src/jobs/source-node.ts';
import type { LlamaConfig } from '../../src/models/llama-config.ts';
import { LlamaDecoder } from '../../src/runtime/llama-decoder.ts';
import { inBlocks } from '../../src/runtime/text-model.ts';

const source = await openSource(fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url)));
const language = source.language!;
after(() => source.close());
const { vocabSize } = language.config;
const tensors = new Map([...language.tensors].map(([name, tensor]) => [name, inBlocks(tensor, 'q4_0')]));
const config = language.config as LlamaConfig;
const windowed: LlamaConfig = { ...config, layers: config.layers.map((layer) => ({ ...layer, window: 7 })) };
const open = (options = {}, of = config) => LlamaDecoder.open(of, tensors, { context: 96, ...options });
const text = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 300);
const row = (logits: Float32Array, i: number): Float32Array => logits.subarray(i * vocabSize, (i + 1) * vocabSize);

for (const [name, of] of [['all positions', config], ['a window that ends inside of the tree', windowed]] as const) {
  test(`every node of a tree has the logits of its path alone, attending to ${name}`, async () => {
    const [decoder, alone] = [await open({}, of), await open({}, of)];
    for (const one of [decoder, alone]) one.feed(text);
    const tokens = [5, 9, 5, 17, 17, 30, 31, 32, 33, 34, 35, 36];
    const parents = [-1, -1, 0, 0, 1, 2, 5, 6, 7, 8, 9, 10];
    const logits = decoder.branch(tokens, parents);
    for (const node of [1, 3, 4, 11]) {
      const path: number[] = [];
      for (let at = node; at >= 0; at = parents[at]) path.unshift(at);
      alone.rewind(text.length);
      assert.deepEqual(alone.feed(path.map((at) => tokens[at])), row(logits, node).slice());
    }
  });
}

test('a text goes on from the path that was kept, and rejected branches leave nothing behind', async () => {
  const [decoder, alone] = [await open(), await open()];
  for (const one of [decoder, alone]) one.feed(text);
  decoder.branch([1, 2, 3, 4, 5, 6], [-1, -1, 0, 1, 2, 3]);
  decoder.keep([1, 3]);
  assert.equal(decoder.position, text.length + 2);
  decoder.branch([7, 8, 9], [-1, 0, 0]);
  decoder.keep([0, 2]);
  decoder.branch([20, 21], [-1, -1]);
  decoder.keep([]);
  alone.feed([2, 4, 7, 9]);
  assert.deepEqual(decoder.feed([50, 51]), alone.feed([50, 51]));
  decoder.rewind(text.length + 1);
  alone.rewind(text.length + 1);
  assert.deepEqual(decoder.feed([60]), alone.feed([60]));
});

test('texts that go through together, longer than the layers take at once, have the logits that they have alone', async () => {
  const decoder = await open({ sequences: 3 });
  const [a, b, c] = decoder.sequences;
  const alone = await open();
  const fresh = (tokens: readonly number[]): Float32Array => {
    alone.rewind(0);
    return alone.feed(tokens);
  };
  b.feed(text.slice(0, 9));
  const [la, lb, lc] = decoder.run([{ sequence: a, tokens: text }, { sequence: b, tokens: [3, 4, 5], parents: [-1, 0, 0], all: true }, { sequence: c, tokens: text.slice(3), all: true }]);
  assert.deepEqual(la, fresh(text));
  assert.deepEqual(row(lb, 2).slice(), fresh([...text.slice(0, 9), 3, 5]));
  for (const end of [4, 20, 37]) assert.deepEqual(row(lc, end - 1).slice(), fresh(text.slice(3, 3 + end)));
  assert.deepEqual([a.position, b.position, c.position], [40, 9, 37]);
  b.keep([0]);
  const [na, nb, nc] = decoder.run([a, b, c].map((sequence, i) => ({ sequence, tokens: [70 + i] })));
  assert.deepEqual(na, fresh([...text, 70]));
  assert.deepEqual(nb, fresh([...text.slice(0, 9), 3, 71]));
  assert.deepEqual(nc, fresh([...text.slice(3), 72]));
});

test('what does not fit is refused before anything is taken in', async () => {
  const decoder = await open({ sequences: 2 });
  const [a, b] = decoder.sequences;
  assert.throws(() => decoder.run([{ sequence: a, tokens: [1, 2] }, { sequence: b, tokens: [1, 9999] }]), /token 9999 is outside/);
  assert.throws(() => a.branch(new Array<number>(33).fill(1), new Array<number>(33).fill(-1)), /33 tokens of a tree do not go through the layers together/);
  assert.equal(a.position, 0);
});
