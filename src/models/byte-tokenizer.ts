/** A tokenizer whose 256 tokens are the bytes of UTF-8, as a byte-level BPE without merges: ids are the bytes themselves. */
import type { TokenizerFiles } from './tokenizer-files.ts';

/** Characters that stand for bytes in byte-level vocabularies: printable Latin-1 for itself, the rest from U+0100 on. */
export function byteCharacters(): string[] {
  const isPrintable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

export function byteTokenizer(context: number): TokenizerFiles {
  const part = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    tokenizer: {
      version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: part, post_processor: null, decoder: part,
      model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])), merges: [] },
    },
    config: { tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false, model_max_length: context },
    others: new Map(),
  };
}
