/** Drafts by a small model, one token after another. The model may be drafted for itself: drafts of two levels (SpecMQuant). */
import { noDraft, type Draft, type Drafter, type DraftOptions } from './draft.ts';
import type { Decoder } from './generate.ts';
import { PrefixCache } from './prefix-cache.ts';
import { distribution, draw, likeliest, streamOf, type Chance } from './sample.ts';

/** A decoder that may know logits before their token is fed. */
export interface KnowingDecoder extends Decoder { holds?(id: number): boolean }

export class ChainDrafter implements Drafter {
  readonly #decoder: KnowingDecoder;
  readonly #length: number;
  readonly #level: number;
  /** Knows what the decoder holds of the text and of the last draft. */
  readonly #cache: PrefixCache;

  /** Tokens to draft; more where they are known already. `level` says for whom: 1 for the model that is asked, 2 for its draft. */
  constructor(decoder: KnowingDecoder, length: number, level = 1) {
    this.#decoder = decoder;
    this.#cache = new PrefixCache(decoder);
    this.#length = length;
    this.#level = level;
  }

  async draft(text: readonly number[], { tokens: room, sampling }: DraftOptions): Promise<Draft> {
    const [decoder, cache] = [this.#decoder, this.#cache];
    const most = Math.min(room, decoder.context - text.length + 1);
    if (most <= 0) return noDraft;
    const { temperature = 0, seed = 0 } = sampling;
    const from = cache.begin(text);
    cache.prepare(sampling);
    let logits = await cache.feed(text.slice(from));
    const tokens: number[] = [];
    const drawnFrom: (readonly Chance[])[] = [];
    for (;;) {
      if (temperature > 0) drawnFrom.push(distribution(logits, sampling));
      const id = temperature > 0 ? draw(drawnFrom.at(-1)!, seed, streamOf(this.#level), text.length + tokens.length, decoder.offer) : likeliest(logits);
      tokens.push(id);
      if (tokens.length >= most || (tokens.length >= this.#length && decoder.holds?.(id) !== true)) break;
      logits = await cache.feed([id]);
    }
    return { tokens, parents: tokens.map((_, i) => i - 1), ...(temperature > 0 ? { drawnFrom } : {}) };
  }
}
