/** One of the texts that a decoder holds: where it stands, and the tokens of a tree that may follow it. */
import type { BranchingDecoder } from './draft.ts';
import type { KvCache } from './kv-cache.ts';
import type { Intake } from './llama-decoder.ts';

type Owner = Pick<BranchingDecoder, 'context' | 'vocabulary' | 'together'> & { run(intakes: readonly Intake[]): Float32Array[] };

export class LlamaSequence implements BranchingDecoder {
  readonly index: number;
  readonly #decoder: Owner;
  readonly #caches: readonly KvCache[];
  #position = 0;

  constructor(decoder: Owner, index: number, caches: readonly KvCache[]) {
    this.#decoder = decoder;
    this.index = index;
    this.#caches = caches;
  }

  get context(): number { return this.#decoder.context; }
  get vocabulary(): number { return this.#decoder.vocabulary; }
  get together(): number { return this.#decoder.together; }
  get position(): number { return this.#position; }

  /** Forgets what came after `position` tokens; gives how many are still held: that many, or none where the cache cannot go back exactly. */
  rewind(position: number): number {
    if (position < this.#position) this.#position = Math.min(...this.#caches.map((cache) => cache.rewind(position)));
    return this.#position;
  }

  /** Takes tokens in and gives the logits after the last one, or after each. The result is the caller's. */
  feed(tokens: readonly number[], { all = false }: { readonly all?: boolean } = {}): Float32Array { return this.#decoder.run([{ sequence: this, tokens, all }])[0]; }

  branch(tokens: readonly number[], parents: readonly number[]): Float32Array { return this.#decoder.run([{ sequence: this, tokens, parents, all: true }])[0]; }

  keep(path: readonly number[]): void {
    for (const cache of this.#caches) cache.keep(this.#position, path);
    this.#position += path.length;
  }

  /** So many tokens have gone through the layers and are part of the text. */
  took(count: number): void { this.#position += count; }
}
