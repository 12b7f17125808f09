/** A decoder that remembers which tokens it holds, so that a prompt that begins like the last one is not read twice. */
import { defineErrors } from '../errors.ts';
import type { Decoder } from './generate.ts';
import type { Offer, SampleOptions } from './sample.ts';

const errors = defineErrors('texts', {
  taken: (_: Record<string, never>) => ['another text was begun in the place of this one', 'write texts one after another, or open the model with as many sequences as there are texts at a time'],
});

/** Tokens that two texts begin with. */
export function commonLength(one: readonly number[], other: readonly number[], most: number): number {
  let common = 0;
  while (common < most && common < one.length && one[common] === other[common]) common++;
  return common;
}

export class PrefixCache implements Decoder {
  readonly #decoder: Decoder;
  readonly #held: number[] = [];
  /** What is fed at the moment, and how many texts the decoder was lent to. */
  #feeding: Promise<unknown> = Promise.resolve();
  #lent = 0;

  constructor(decoder: Decoder) { this.#decoder = decoder; }

  get context(): number { return this.#decoder.context; }
  get position(): number { return this.#decoder.position; }

  rewind(position: number): number { return this.#decoder.rewind(position); }

  prepare(sampling: SampleOptions): void { this.#decoder.prepare?.(sampling); }

  get offer(): Offer | undefined { return this.#decoder.offer; }

  feed(tokens: readonly number[]): Promise<Float32Array> {
    const fed = this.#feed(tokens);
    this.#feeding = fed.catch(() => {});
    return fed;
  }

  async #feed(tokens: readonly number[]): Promise<Float32Array> {
    const at = this.#decoder.position;
    const logits = await this.#decoder.feed(tokens);
    this.#held.length = at;
    // Not spread: a prompt may be longer than a call has arguments.
    for (const id of tokens) this.#held.push(id);
    return logits;
  }

  /** Tokens of a prompt that need not be read: the last one always is, for its logits are wanted. */
  shared(prompt: readonly number[]): number { return commonLength(this.#held, prompt, prompt.length - 1); }

  begin(prompt: readonly number[]): number { return this.rewind(this.shared(prompt)); }

  /** The decoder for one text. That of the text before it is refused from now on, where it would go on in the middle of this one. */
  async lend(): Promise<Decoder> {
    const own = ++this.#lent;
    await this.#feeding;
    const mine = (): this => {
      if (own !== this.#lent) throw errors.taken({});
      return this;
    };
    return {
      context: this.context,
      get position() { return mine().position; },
      get offer() { return mine().offer; },
      rewind: (position) => mine().rewind(position),
      begin: (prompt) => mine().begin(prompt),
      prepare: (sampling) => mine().prepare(sampling),
      feed: async (tokens) => mine().feed(tokens),
    };
  }
}
