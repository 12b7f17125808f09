/** A decoder that remembers which tokens it holds, so that a prompt that begins like the last one is not read twice. */
import type { Decoder } from './generate.ts';
import type { Offer, SampleOptions } from './sample.ts';

export class PrefixCache implements Decoder {
  readonly #decoder: Decoder;
  readonly #held: number[] = [];

  constructor(decoder: Decoder) { this.#decoder = decoder; }

  get context(): number { return this.#decoder.context; }
  get position(): number { return this.#decoder.position; }

  rewind(position: number): number { return this.#decoder.rewind(position); }

  prepare(sampling: SampleOptions): void { this.#decoder.prepare?.(sampling); }

  get offer(): Offer | undefined { return this.#decoder.offer; }

  async feed(tokens: readonly number[]): Promise<Float32Array> {
    const at = this.#decoder.position;
    const logits = await this.#decoder.feed(tokens);
    this.#held.length = at;
    // Not spread: a prompt may be longer than a call has arguments.
    for (const id of tokens) this.#held.push(id);
    return logits;
  }

  /** The last token of the prompt is always read again: its logits are wanted. */
  begin(prompt: readonly number[]): number {
    const most = Math.min(prompt.length - 1, this.#held.length);
    let common = 0;
    while (common < most && this.#held[common] === prompt[common]) common++;
    return this.rewind(common);
  }
}
