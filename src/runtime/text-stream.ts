/** The text of tokens as they come, in time that does not grow with what was written before. */
import type { Tokenizer } from '../models/tokenizer.ts';

/** What a later token may still change: half of a character, or the beginning of what a tokenizer that cleans up spaces takes out. */
const unsettled = /(?:\ufffd| n?'?| '[vr])$/;

export class TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  /** Tokens that are decoded together: some whose text is settled, so that the others are read in their context, and those after them. */
  #window: number[] = [];
  #settled = 0;
  /** Text of the settled tokens of the window. */
  #before = '';
  /** Text that the tokens give so far beyond what is settled. */
  tail = '';

  constructor(tokenizer: Tokenizer, options: { readonly cleanUpSpaces?: boolean } = {}) {
    this.#decode = (ids) => tokenizer.decode(ids, { skipSpecialTokens: true, ...options });
  }

  /** Takes a token; gives the text that no later one changes. All pieces and the last `tail` make the text of all tokens. */
  add(id: number): string {
    this.#window.push(id);
    const text = this.#decode(this.#window);
    const fresh = text.slice(this.#before.length);
    if (fresh === '' || unsettled.test(text)) {
      this.tail = fresh;
      return '';
    }
    this.#window = this.#window.slice(this.#settled);
    this.#settled = this.#window.length;
    this.#before = this.#decode(this.#window);
    this.tail = '';
    return fresh;
  }
}
