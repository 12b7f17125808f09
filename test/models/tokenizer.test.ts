/** Tokenizers in the two styles of the Llama family, and tokenizer.json files that are refused: one row per way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from '../../src/files/json.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';

const vocab = { '<s>': 0, a: 1, b: 2, c: 3, Ġ: 4, ab: 5, Ġa: 6, Ġab: 7 };
const merges = ['a b', 'Ġ a', 'Ġ ab'];
const model = { type: 'BPE', vocab, merges };
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const special = { id: 0, content: '<s>', special: true, normalized: false };
const bos = { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } } };
const base = { added_tokens: [special], normalizer: null, pre_tokenizer: byteLevel, post_processor: bos, decoder: byteLevel, model };

const open = (change: object = {}) => openTokenizer({
  tokenizer: parseJson(JSON.stringify({ ...base, ...change })) as Record<string, unknown>, config: { clean_up_tokenization_spaces: false }, others: new Map(),
});

test('byte-level pairs merge in order of rank, a template adds its special token', () => {
  const tokenizer = open();
  assert.equal(tokenizer.vocabulary, 8);
  // Among "a b" (0), "Ġ a" (1) and "Ġ ab" (2), the lowest rank present goes first.
  assert.deepEqual(tokenizer.encode('ab ab c'), [0, 5, 7, 4, 3]);
  assert.deepEqual(tokenizer.encode('ab a', { addSpecialTokens: false }), [5, 6]);
  assert.equal(tokenizer.decode([0, 5, 7, 4, 3]), '<s>ab ab c');
  assert.equal(tokenizer.decode([0, 5, 7, 4, 3], { skipSpecialTokens: true }), 'ab ab c');
  assert.deepEqual(tokenizer.encode('', { addSpecialTokens: false }), []);
  assert.equal(tokenizer.decode([]), '');
  // The vocabulary has neither the letter nor an unknown token.
  assert.deepEqual(tokenizer.encode('axb', { addSpecialTokens: false }), [1, 2]);
});

test('pieces with a word mark fall back to bytes', () => {
  const bytes = Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`, 3 + i]));
  const tokenizer = open({
    added_tokens: [{ ...special, id: 1 }], pre_tokenizer: null, post_processor: { ...bos, special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } } },
    normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
    decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
    model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, vocab: { '<unk>': 0, '<s>': 1, '</s>': 2, ...bytes, '▁': 259, h: 260, i: 261, hi: 262, '▁hi': 263 }, merges: [['h', 'i'], ['▁', 'hi']] },
  });
  assert.equal(tokenizer.vocabulary, 264);
  // é is C3 A9.
  assert.deepEqual(tokenizer.encode('hi hé'), [1, 263, 259, 260, 3 + 0xc3, 3 + 0xa9]);
  assert.equal(tokenizer.decode([1, 263, 259, 260, 3 + 0xc3, 3 + 0xa9], { skipSpecialTokens: true }), 'hi hé');
});

const sequence = (part: string, list: string, step: object, times: number): object => ({ [part]: { type: 'Sequence', [list]: Array.from({ length: times }, () => step) } });
const split = (pattern: unknown): object => ({ pre_tokenizer: { type: 'Split', pattern, behavior: 'Isolated', invert: false } });

const refused: readonly (readonly [change: object, message: string])[] = [
  [{ model: undefined }, 'tokenizer.json: model must be an object'],
  [{ model: null }, 'tokenizer.json: model must be an object'],
  [{ model: [] }, 'tokenizer.json: model must be an object'],
  [{ model: { ...model, type: 'Magic' } }, 'tokenizer.json: unknown model type "Magic"'],
  [{ model: { ...model, type: 4 } }, 'tokenizer.json: unknown model type 4'],
  [{ model: { ...model, type: 'WordLevel' } }, 'tokenizer.json: unknown model type "WordLevel"'],
  [{ model: { ...model, vocab: undefined } }, 'tokenizer.json: model.vocab must be an object of tokens and ids'],
  [{ model: { ...model, vocab: {} } }, 'tokenizer.json: model.vocab must be an object of tokens and ids'],
  [{ model: { ...model, vocab: ['a'] } }, 'tokenizer.json: model.vocab must be an object of tokens and ids'],
  [{ model: { ...model, vocab: 'a' } }, 'tokenizer.json: model.vocab must be an object of tokens and ids'],
  [{ model: { ...model, vocab: { ...vocab, d: -1 } } }, 'tokenizer.json: token "d" has id -1, must be a whole number below 4194304'],
  [{ model: { ...model, vocab: { ...vocab, d: 1.5 } } }, 'tokenizer.json: token "d" has id 1.5, must be a whole number below 4194304'],
  [{ model: { ...model, vocab: { ...vocab, d: 4_000_000_000 } } }, 'tokenizer.json: token "d" has id 4000000000, must be a whole number below 4194304'],
  [{ model: { ...model, vocab: { ...vocab, d: '9' } } }, 'tokenizer.json: token "d" has id "9", must be a whole number below 4194304'],
  [{ model: { ...model, vocab: { ...vocab, d: null } } }, 'tokenizer.json: token "d" has id null, must be a whole number below 4194304'],
  [{ model: { ...model, vocab: { ...vocab, d: 3 } } }, 'tokenizer.json: token "d" has id 3, which another token has too'],
  [{ model: { ...model, merges: undefined } }, 'tokenizer.json: model.merges must be a list of pairs'],
  [{ model: { ...model, merges: 'a b' } }, 'tokenizer.json: model.merges must be a list of pairs'],
  [{ model: { ...model, merges: ['ab'] } }, 'tokenizer.json: merge 0, "ab", is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: ['a b c'] } }, 'tokenizer.json: merge 0, "a b c", is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: ['a b', 'a z'] } }, 'tokenizer.json: merge 1, "a z", is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: ['b c'] } }, 'tokenizer.json: merge 0, "b c", is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: [['a', 'b'], 'Ġ a'] } }, 'tokenizer.json: merge 1, "Ġ a", is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: ['a b', ['Ġ', 'a']] } }, 'tokenizer.json: merge 1, ["Ġ","a"], is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: [['a', 1]] } }, 'tokenizer.json: merge 0, ["a",1], is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: [null] } }, 'tokenizer.json: merge 0, null, is not a pair of tokens of the vocabulary'],
  [{ model: { ...model, merges: ['constructor b'] } }, 'tokenizer.json: merge 0, "constructor b", is not a pair of tokens of the vocabulary'],
  [{ model: { type: 'Unigram', vocab, unk_id: 0 } }, 'tokenizer.json: model.vocab must be a list of pairs of piece and score'],
  [{ model: { type: 'Unigram', vocab: [], unk_id: 0 } }, 'tokenizer.json: model.vocab must be a list of pairs of piece and score'],
  [{ model: { type: 'Unigram', vocab: [['a', '0']], unk_id: 0 } }, 'tokenizer.json: model.vocab must be a list of pairs of piece and score'],
  [{ model: { type: 'Unigram', vocab: [['a', 0]], unk_id: 1 } }, 'tokenizer.json: token unk_id has id 1, must be a whole number below 4194304'],
  [{ model: { vocab: [['a', 0]] } }, 'tokenizer.json: token unk_id has id undefined, must be a whole number below 4194304'],
  [{ added_tokens: {} }, 'tokenizer.json: added_tokens must be a list'],
  [{ added_tokens: ['<s>'] }, 'tokenizer.json: added_tokens must be a list of objects with content and id'],
  [{ added_tokens: [{ id: 0 }] }, 'tokenizer.json: added_tokens must be a list of objects with content and id'],
  [{ added_tokens: [{ id: 0, content: '' }] }, 'tokenizer.json: added_tokens must be a list of objects with content and id'],
  [{ added_tokens: [{ id: 1e15, content: 'x' }] }, 'tokenizer.json: token "x" has id 1000000000000000, must be a whole number below 4194304'],
  [{ normalizer: 'NFC' }, 'tokenizer.json: normalizer must be null or an object with a type'],
  [{ normalizer: [] }, 'tokenizer.json: normalizer must be null or an object with a type'],
  [{ decoder: {} }, 'tokenizer.json: decoder must be null or an object with a type'],
  [{ normalizer: { type: 'Sequence', normalizers: 7 } }, 'tokenizer.json: normalizer.normalizers must be a list'],
  [sequence('normalizer', 'normalizers', { type: 'NFC' }, 100), 'tokenizer.json: normalizer has 65 steps, at most 64 are allowed'],
  [sequence('normalizer', 'normalizers', { type: 'Replace', pattern: { String: 'a' }, content: 'aa' }, 40), 'tokenizer.json: normalizer lengthens a text more than 4096 times'],
  [split(null), 'tokenizer.json: pre_tokenizer.pattern must be an object with Regex or String'],
  [split({ Regex: 7 }), 'tokenizer.json: pre_tokenizer.pattern must be an object with Regex or String'],
  [split({ Regex: 'a'.repeat(3000) }), `tokenizer.json: pattern "${'a'.repeat(59)} is longer than 2000 characters`],
  [split({ Regex: '(a+)+$' }), 'tokenizer.json: pattern "(a+)+$" repeats a group, which can take exponential time'],
  [split({ Regex: '(?:a|a)*b' }), 'tokenizer.json: pattern "(?:a|a)*b" repeats a group, which can take exponential time'],
  [split({ Regex: '(\\w{1,9}){1,99}b' }), 'tokenizer.json: pattern "(\\\\w{1,9}){1,99}b" repeats a group, which can take exponential time'],
  [{ post_processor: { ...bos, single: [{ Sequence: { id: 'A', type_id: 0 } }, null] } }, 'tokenizer.json: post_processor.single must be a list of objects'],
  [{ decoder: { type: 'WordPiece', prefix: {} } }, 'tokenizer.json cannot be used: Cannot convert object to primitive value'],
  [{ pre_tokenizer: { type: 'FixedLength', length: 0 } }, 'tokenizer.json: pre_tokenizer.length must be a positive whole number'],
  [{ pre_tokenizer: { type: 'Imagined' } }, 'tokenizer.json cannot be used: Unknown PreTokenizer type: Imagined'],
  [{ post_processor: { type: 'Imagined' } }, 'tokenizer.json cannot be used: Unknown PostProcessor type: Imagined'],
];

test('a tokenizer that would fail later is refused with what is wrong in it', () => {
  for (const [change, message] of refused) assert.throws(() => open(change), { name: 'FewbitError', message });
});

test('patterns of published tokenizers pass', () => {
  for (const pattern of [
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ]) assert.doesNotThrow(() => open(split({ Regex: pattern })));
});
