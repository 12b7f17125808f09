/** Text to token ids and back, on Hugging Face's own tokenizer library. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { defineErrors } from '../errors.ts';
import { checkTokenizer } from './tokenizer-check.ts';
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

/** Builds the tokenizer; throws one line where the files are damaged or the library refuses them. */
export function openTokenizer({ tokenizer, config }: TokenizerFiles): Tokenizer {
  const vocabulary = checkTokenizer(tokenizer);
  // Parts that a file may leave out; the library wants to see them.
  const complete = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...tokenizer };
  let made: HuggingFaceTokenizer;
  try {
    made = new HuggingFaceTokenizer(complete, config);
  } catch (error) {
    throw errors.invalid({ reason: (error instanceof Error ? error.message : String(error)).split('\n')[0].slice(0, 200) });
  }
  return {
    vocabulary,
    // Characters that a vocabulary without an unknown token lacks have no id, and are left out.
    encode: (text, { addSpecialTokens = true } = {}) =>
      made.encode(text, { add_special_tokens: addSpecialTokens }).ids.filter((id: number | undefined) => id !== undefined),
    decode: (ids, { skipSpecialTokens = false } = {}) => (ids.length === 0 ? '' : made.decode([...ids], { skip_special_tokens: skipSpecialTokens })),
  };
}
