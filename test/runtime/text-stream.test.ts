/** Text that comes token by token is the text of all tokens together, for every kind of tokenizer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fileURLToPath } from 'node:url';
import { openFolder } from '../../src/files/fs-node.ts';
import { openTokenizer, type Tokenizer } from '../../src/models/tokenizer.ts';
import { readTokenizerFiles } from '../../src/models/tokenizer-files.ts';
import { TextStream } from '../../src/runtime/text-stream.ts';

const special = { id: 0, content: '<s>', special: true, normalized: false };

/** Bytes as characters that print, as byte-level vocabularies spell them. */
const byteCharacters = (() => {
  const plain = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(plain(b) ? b : next++));
})();

/** Every byte, and pieces that begin, end and cut characters of two to four bytes. */
function byteLevel(): Tokenizer {
  const pieces = [...byteCharacters];
  const merges: string[] = [];
  const merge = (bytes: readonly number[]): void => {
    const spelled = bytes.map((b) => byteCharacters[b]);
    merges.push(`${spelled.slice(0, -1).join('')} ${spelled.at(-1)!}`);
    pieces.push(spelled.join(''));
  };
  for (const bytes of [[0x20, 0x61], [0x20, 0xe2], [0x20, 0xe2, 0x82], [0xf0, 0x9f], [0xf0, 0x9f, 0x98], [0xac, 0x20], [0x80, 0xc3], [0x20, 0x2e], [0x20, 0x6e], [0x27, 0x74]]) merge(bytes);
  const step = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return openTokenizer({
    tokenizer: {
      added_tokens: [special], normalizer: null, pre_tokenizer: step, post_processor: null, decoder: step,
      model: { type: 'BPE', vocab: { '<s>': 0, ...Object.fromEntries(pieces.map((piece, i) => [piece, i + 1])) }, merges },
    },
    config: { clean_up_tokenization_spaces: false }, others: new Map(),
  });
}

/** Pieces with a word mark, bytes for the rest, and a space that the text loses in front. */
function pieces(): Tokenizer {
  const bytes = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 3 + i]));
  return openTokenizer({
    tokenizer: {
      added_tokens: [{ ...special, id: 1 }], pre_tokenizer: null, post_processor: null,
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
      decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
      model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, ...bytes, '▁': 259, h: 260, i: 261, hi: 262, '▁hi': 263, 'é': 264, '▁▁': 265 }, merges: [['h', 'i'], ['▁', 'hi'], ['▁', '▁']] },
    },
    config: { clean_up_tokenization_spaces: false }, others: new Map(),
  });
}

const host = openTokenizer((await readTokenizerFiles(await openFolder(fileURLToPath(new URL('../../assets/host-llama-shakespeare', import.meta.url)))))!);

function streamed(tokenizer: Tokenizer, ids: readonly number[]): { text: string; before: string[] } {
  const stream = new TextStream(tokenizer);
  let text = '';
  const before = ids.map((id) => { text += stream.add(id); return text + stream.tail; });
  return { text: text + stream.tail, before };
}

for (const [name, tokenizer] of [['the host model', host], ['bytes', byteLevel()], ['pieces with a word mark', pieces()]] as const) {
  test(`${name}: any tokens, one by one, give the text that they give together, at every step`, () => {
    fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: tokenizer.vocabulary - 1 }), { maxLength: 60 }), (ids) => {
      const { text, before } = streamed(tokenizer, ids);
      assert.equal(text, tokenizer.decode(ids, { skipSpecialTokens: true }));
      before.forEach((part, i) => assert.equal(part, tokenizer.decode(ids.slice(0, i + 1), { skipSpecialTokens: true })));
    }), { numRuns: 300, seed: 7 });
  });
}

test('real text in characters of one to four bytes comes out character by character', () => {
  const tokenizer = byteLevel();
  const text = 'naïve — 12 € 😀 a .\n don\'t “yes”';
  const ids = tokenizer.encode(text);
  const stream = new TextStream(tokenizer);
  const given = ids.map((id) => stream.add(id));
  assert.equal(given.join('') + stream.tail, text);
  assert.ok(given.every((piece) => !piece.includes('\ufffd')));
});

test('spaces that a tokenizer takes out before marks and contractions are never given', () => {
  const files = { tokenizer: { added_tokens: [special], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, model: { type: 'BPE', vocab: { '<s>': 0, a: 1, '.': 2, "n't": 3, "'s": 4 }, merges: [] } }, config: {}, others: new Map<string, Uint8Array>() };
  const tokenizer = openTokenizer(files);
  const ids = [1, 2, 1, 3, 1, 4, 2];
  assert.equal(tokenizer.decode(ids), "a. an't a's.");
  assert.equal(streamed(tokenizer, ids).text, "a. an't a's.");
  assert.equal(tokenizer.decode([1, 2], { cleanUpSpaces: false }), 'a .');
});

test('time per token does not grow with the text', () => {
  const stream = new TextStream(host);
  const seconds = [0, 1].map(() => {
    const from = performance.now();
    for (let i = 0; i < 4000; i++) stream.add(1 + (i * 37) % 1000);
    return performance.now() - from;
  });
  assert.ok(seconds[1] < 4 * seconds[0] + 50, seconds.join(', '));
});
