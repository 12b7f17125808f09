/** Tokenizers through GGUF files: llama.cpp finds the ids of tokenizer.json, and the rebuilt tokenizer.json finds them again. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openFile, openFolder } from '../../src/files/fs-node.ts';
import { openGgufLanguageModel } from '../../src/models/gguf-model.ts';
import { preTokenizers } from '../../src/models/gguf-pre-tokenizers.ts';
import { tokenizerFromGguf } from '../../src/models/gguf-tokenizer.ts';
import { tokenizerToGguf } from '../../src/models/gguf-tokenizer-write.ts';
import { languageModel, openLanguageModel } from '../../src/models/language-model.ts';
import type { TokenizerFiles } from '../../src/models/tokenizer-files.ts';
import { openTokenizer } from '../../src/models/tokenizer.ts';
import { ggufFile, withFolder, withLlama } from './gguf-file.ts';

const assets = join(import.meta.dirname, '../../assets');
const host = await openLanguageModel(await openFolder(join(assets, 'host-llama-shakespeare')));
after(() => host.close());
const heldout = await readFile(join(assets, 'shakespeare/heldout.txt'), 'utf8');

const texts = [
  heldout.slice(0, 20_000),
  'It\'s 12345 o\'clock, they\'LL pay $1,234.50 -- or 7 & 89?\n\n\nNo...  \t two  spaces   three\r\n end ',
  'naïve café, Zürich – “quoted” — 東京 3人 привет мир 👩‍🚀 x²+y³=z ½ e\u0301 a_b(c)[d] <e> #!/bin/sh\n',
  ' leading', 'trailing ', '\n', '   ', 'a\u00a0b', '',
];

async function agree(files: TokenizerFiles, given = texts): Promise<void> {
  await withFolder(async (folder) => {
    const path = await ggufFile(languageModel({ ...host, tokenizer: files }), folder, 'q4_k');
    const model = await openGgufLanguageModel(await openFile(path));
    const [original, rebuilt] = [openTokenizer(files), openTokenizer(model.tokenizer!)];
    await withLlama(path, async ({ tokenize }) => {
      for (const text of given) {
        assert.deepEqual(rebuilt.encode(text), original.encode(text), `rebuilt: ${JSON.stringify(text.slice(0, 40))}`);
        assert.equal(rebuilt.decode(rebuilt.encode(text)), original.decode(original.encode(text)));
        assert.deepEqual(tokenize(text), original.encode(text, { addSpecialTokens: false }), `llama.cpp: ${JSON.stringify(text.slice(0, 40))}`);
      }
    });
    await model.close();
  });
}

for (const { name, steps, ignoreMerges, normalizer } of preTokenizers) {
  test(`text is cut as ${name} does`, async () => {
    const { tokenizer, config, others } = host.tokenizer!;
    const model = { ...tokenizer.model as object, ignore_merges: ignoreMerges };
    const files = { tokenizer: { ...tokenizer, normalizer, pre_tokenizer: { type: 'Sequence', pretokenizers: steps }, model }, config, others };
    const { metadata, notes } = tokenizerToGguf(files, {}, 1024);
    assert.equal(metadata.get('tokenizer.ggml.pre')?.value, name);
    // llama.cpp takes characters as they come; who normalizes is told so.
    assert.equal(notes.length, normalizer === null ? 0 : 1);
    await agree(files, normalizer === null ? texts : texts.map((text) => text.normalize('NFC')));
  });
}

/** Pieces with a word mark and bytes, merged in the order of their ids, in as many rows as the model has. */
function pieces(): TokenizerFiles {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const merged = ['▁t', 'he', '▁a', 'in', 're', '▁the', '▁s', 'er', 'nd', '▁w', 'ou', '▁m', '▁and', 'or', 'is', 'th', '▁th', 'ing', '▁you', '▁▁', '▁y', '▁yo'];
  const letters = [...new Set('▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;\'!?-\n')];
  const vocab = Object.fromEntries(['<unk>', '<s>', '</s>', ...bytes, ...merged, ...letters].map((piece, id) => [piece, id]));
  const merges = merged.flatMap((piece) => [...piece].slice(1).map((_, i): [string, string] => [[...piece].slice(0, i + 1).join(''), [...piece].slice(i + 1).join('')])
    .filter((pair) => pair.every((half) => half in vocab)).sort(([a, b], [c, d]) => vocab[a] - vocab[c] || vocab[b] - vocab[d]));
  const special = (content: string, id: number) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  const bos = { SpecialToken: { id: '<s>', type_id: 0 } };
  return {
    tokenizer: {
      version: '1.0', added_tokens: [special('<unk>', 0), special('<s>', 1), special('</s>', 2)], pre_tokenizer: null,
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
      post_processor: { type: 'TemplateProcessing', single: [bos, { Sequence: { id: 'A', type_id: 0 } }], pair: [], special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } } },
      decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
      model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, vocab, merges },
    },
    config: { clean_up_tokenization_spaces: false, bos_token: '<s>', eos_token: { content: '</s>' }, unk_token: '<unk>', chat_template: '{{ bos_token }}{{ messages[0].content }}' },
    others: new Map([['README.md', new TextEncoder().encode('---\nlicense: apache-2.0\n---\n')]]),
  };
}

test('pieces with scores fall back to bytes', () => agree(pieces()));

test('special ids, the chat template and what stands around a text travel', () => {
  const { metadata, notes } = tokenizerToGguf(pieces(), {}, 1024);
  const value = (key: string) => metadata.get(`tokenizer.${key}`)?.value;
  assert.deepEqual(notes, []);
  assert.deepEqual(['model', 'bos_token_id', 'eos_token_id', 'unknown_token_id', 'add_bos_token', 'add_eos_token', 'add_space_prefix'].map((key) => value(`ggml.${key}`)), ['llama', 1, 2, 0, true, false, true]);
  assert.equal(value('chat_template'), '{{ bos_token }}{{ messages[0].content }}');
  const types = value('ggml.token_type') as Int32Array;
  // Unknown, control, control, bytes; then pieces; rows without a token are unused.
  assert.deepEqual([types[0], types[1], types[2], types[3], types[258], types[259], types[1023]], [2, 3, 3, 6, 6, 1, 5]);
  const { config } = tokenizerFromGguf(metadata, 256)!;
  assert.deepEqual([config.bos_token, config.eos_token, config.unk_token, config.chat_template], ['<s>', '</s>', '<unk>', '{{ bos_token }}{{ messages[0].content }}']);
});

test('several chat templates are told apart by name', () => {
  const files = pieces();
  const { metadata } = tokenizerToGguf({ ...files, config: { ...files.config, chat_template: [{ name: 'default', template: 'a' }, { name: 'tool_use', template: 'b' }] } }, {}, 1024);
  assert.deepEqual(['chat_template', 'chat_templates', 'chat_template.tool_use'].map((key) => metadata.get(`tokenizer.${key}`)?.value), ['a', ['tool_use'], 'b']);
});

test('a way to cut text without a name is written as default, with a note', () => {
  const { tokenizer, config, others } = host.tokenizer!;
  const { metadata, notes } = tokenizerToGguf({ tokenizer: { ...tokenizer, pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Punctuation' }, { type: 'ByteLevel', use_regex: true }] } }, config, others }, {}, 1024);
  assert.equal(metadata.get('tokenizer.ggml.pre')?.value, 'default');
  assert.match(notes[0], /token ids may differ/);
});

test('tokenizers that GGUF cannot hold are refused in one line', () => {
  const files = pieces();
  const unigram = { ...files.tokenizer, added_tokens: [], post_processor: null, model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['a', -1], ['b', -2]] } };
  assert.throws(() => tokenizerToGguf({ ...files, tokenizer: unigram }, {}, 1024), { name: 'FewbitError', message: 'a tokenizer of the kind Unigram has no form in GGUF files of this architecture' });
  assert.throws(() => tokenizerToGguf(files, {}, 300), { name: 'FewbitError', message: /^token ".+" has id 3\d\d, the embedding has 300 rows$/ });
});
