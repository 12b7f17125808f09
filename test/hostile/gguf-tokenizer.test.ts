/** Tokenizers inside of GGUF files, made to take forever or to point outside of themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GgufValue } from '../../src/files/gguf.ts';
import { tokenizerFromGguf } from '../../src/models/gguf-tokenizer.ts';
import { tokenizerToGguf } from '../../src/models/gguf-tokenizer-write.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { answers } from './answers.ts';

const text = (value: string): GgufValue => ({ type: 'string', value });
const texts = (value: readonly string[]): GgufValue => ({ type: 'array', of: 'string', value });
const scores = (count: number): GgufValue => ({ type: 'array', of: 'f32', value: new Float32Array(count) });
type Keys = Readonly<Record<string, GgufValue>>;
const pieces = (tokens: readonly string[]): Keys => ({ model: text('llama'), tokens: texts(tokens), scores: scores(tokens.length) });
const bytes: Keys = { model: text('gpt2'), tokens: texts(['a', 'b', 'ab']), merges: texts(['a b']) };

async function open(keys: Keys): Promise<void> {
  const files = tokenizerFromGguf(new Map(Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value])), 512);
  openTokenizer(files!).encode('ab');
}

const cases: readonly (readonly [name: string, keys: Keys | (() => Keys), expect: RegExp])[] = [
  ['a kind named like a method', { ...bytes, model: text('toString') }, /"toString" is not read/],
  ['a kind that is a number', { ...bytes, model: { type: 'u32', value: 1 } }, /must be a text/],
  ['no tokens', { model: text('gpt2') }, /tokens is missing/],
  ['tokens that are numbers', { ...bytes, tokens: scores(3) }, /must be a list of texts/],
  ['no merges', { model: text('gpt2'), tokens: texts(['a']) }, /merges is missing/],
  ['a merge of strangers', { ...bytes, merges: texts(['x y']) }, /merge 0/],
  ['a merge without a space', { ...bytes, merges: texts(['ab']) }, /merge 0/],
  ['a merge of spaces', { ...bytes, merges: texts(['   ']) }, /merge 0/],
  ['a way to cut named __proto__', { ...bytes, pre: text('__proto__') }, /"__proto__" is not known/],
  ['fewer types than tokens', { ...bytes, token_type: { type: 'array', of: 'i32', value: Int32Array.of(1) } }, /has 1 entries, the vocabulary has 3/],
  ['fewer scores than tokens', { ...pieces(['a', 'b']), scores: scores(1) }, /has 1 entries, the vocabulary has 2/],
  ['no scores', { model: text('llama'), tokens: texts(['a']) }, /scores is missing/],
  ['a first token beyond the last', { ...bytes, bos_token_id: { type: 'u32', value: 3 } }, /bos_token_id 3 lies outside the 3 tokens/],
  ['a last token of −1', { ...bytes, eos_token_id: { type: 'i32', value: -1 } }, /eos_token_id -1 lies outside/],
  ['a last token of 2^64 − 1', { ...bytes, eos_token_id: { type: 'u64', value: 2n ** 64n - 1n } }, /eos_token_id .* lies outside/],
  ['a space that is 2', { ...pieces(['a']), add_space_prefix: { type: 'u8', value: 2 } }, /must be true or false/],
  ['20 000 pieces of 256 characters', () => pieces(Array.from({ length: 20_000 }, (_, i) => i.toString(36).padStart(256, '_'))), /5120000 characters together/],
];
for (const [name, keys, expect] of cases) answers(name, () => (typeof keys === 'function' ? keys() : keys), open, expect);

test('chat templates that are none are left out', () => {
  const tokenizer = { model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] }, decoder: { type: 'ByteLevel' } };
  const config = { chat_template: [null, 7, {}, { name: 'default', template: 3 }, { name: 'default', template: 'right' }, { name: '../x', template: 'left' }], bos_token: {}, eos_token: [null] };
  const { metadata } = tokenizerToGguf({ tokenizer, config, others: new Map() }, { bos_token_id: {}, eos_token_id: [null] }, 4);
  assert.deepEqual([...metadata.keys()].filter((key) => key.includes('template')), ['tokenizer.chat_template']);
});
