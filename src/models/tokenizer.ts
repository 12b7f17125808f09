/** Text to token ids and back, on Hugging Face's own tokenizer library. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { defineErrors } from '../errors.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';

export interface Tokenizer {
  /** Special tokens of the template (such as a leading BOS) are added unless switched off. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** Special tokens appear in the text unless `skipSpecialTokens`. */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /** Largest token id + 1, added tokens included. */
  readonly vocabulary: number;
}

const errors = defineErrors('tokenizer', {
  invalid: (f: { reason: string }) => `tokenizer.json cannot be used: ${f.reason}`,
});

/** Builds the tokenizer; throws one line where the library refuses the files. */
export function openTokenizer({ tokenizer, config }: TokenizerFiles): Tokenizer {
  let made: HuggingFaceTokenizer;
  let vocabulary = 0;
  try {
    made = new HuggingFaceTokenizer(plain(tokenizer) as object, plain(config) as object);
    for (const id of made.get_vocab().values()) vocabulary = Math.max(vocabulary, id + 1);
  } catch (error) {
    throw errors.invalid({ reason: (error instanceof Error ? error.message : String(error)).split('\n')[0].slice(0, 200) });
  }
  return {
    vocabulary,
    encode: (text, { addSpecialTokens = true } = {}) => made.encode(text, { add_special_tokens: addSpecialTokens }).ids,
    decode: (ids, { skipSpecialTokens = false } = {}) => made.decode([...ids], { skip_special_tokens: skipSpecialTokens }),
  };
}

/** Strictly parsed objects have no prototype; the library expects the usual one. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) Object.defineProperty(copy, key, { value: plain(member), enumerable: true, writable: true, configurable: true });
  return copy;
}
