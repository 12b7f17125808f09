/** Text to token ids and back, on Hugging Face's own tokenizer library. */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { defineErrors } from '../errors.ts';
import { checkTokenizer } from './tokenizer-check.ts';
import type { TokenizerFiles } from './tokenizer-files.ts';

export interface Tokenizer {
  /** Special tokens of the template (such as a leading BOS) are added unless switched off. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /**
   * Special tokens appear in the text unless `skipSpecialTokens`. Tokenizers that take out spaces before marks and
   * contractions leave them with `cleanUpSpaces: false`.
   */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean; readonly cleanUpSpaces?: boolean }): string;
  /** Largest token id + 1, added tokens included. */
  readonly vocabulary: number;
}

const errors = defineErrors('tokenizer', {
  invalid: (f: { reason: string }) => `tokenizer.json cannot be used: ${f.reason}`,
});

/** Builds the tokenizer; throws one line where the files are damaged or the library refuses them. */
export function openTokenizer({ tokenizer, config }: TokenizerFiles): Tokenizer {
  const vocabulary = checkTokenizer(tokenizer, config);
  // Parts that a file may leave out; the library wants to see them.
  const complete = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...tokenizer, added_tokens: tokenizer.added_tokens ?? [] };
  const made = attempt(() => new HuggingFaceTokenizer(complete, config));
  const encode = (text: string, special: boolean): number[] => attempt(() => {
    const ids: (number | undefined)[] = made.encode(text, { add_special_tokens: special }).ids;
    // Characters that a vocabulary without an unknown token lacks have no id, and are left out.
    return ids.filter((id) => id !== undefined);
  });
  const decode = (ids: readonly number[], skip: boolean, cleanUp?: boolean): string =>
    (ids.length === 0 ? '' : attempt(() => made.decode([...ids], { skip_special_tokens: skip, ...(cleanUp === undefined ? {} : { clean_up_tokenization_spaces: cleanUp }) })));
  // Parts that the library takes unseen fail here rather than in the middle of a run.
  decode(encode('a b', true), true);
  return {
    vocabulary,
    encode: (text, { addSpecialTokens = true } = {}) => encode(text, addSpecialTokens),
    decode: (ids, { skipSpecialTokens = false, cleanUpSpaces } = {}) => decode(ids, skipSpecialTokens, cleanUpSpaces),
  };
}

/** Whatever the library throws as one line. */
function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw errors.invalid({ reason: (error instanceof Error ? error.message : String(error)).split('\n')[0].slice(0, 200) });
  }
}
