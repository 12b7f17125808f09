/** Texts that are written at the same time and go through the layers together: each waits until all have something to feed. */
import type { BranchingDecoder } from './draft.ts';
import type { Intake, LlamaDecoder } from './llama-decoder.ts';
import type { LlamaSequence } from './llama-sequence.ts';

interface Waiting { readonly intake: Intake; resolve(logits: Float32Array): void; reject(error: unknown): void }

export class Batch {
  readonly #decoder: LlamaDecoder;
  readonly #writing = new Set<LlamaSequence>();
  #waiting: Waiting[] = [];
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(decoder: LlamaDecoder) { this.#decoder = decoder; }

  /** A text is being written, and others wait for what it feeds. */
  enter(sequence: LlamaSequence): void { this.#writing.add(sequence); }

  leave(sequence: LlamaSequence): void {
    this.#writing.delete(sequence);
    this.#whenAllWait();
  }

  /** A sequence whose products are shared with those of the others. */
  member(sequence: LlamaSequence): BranchingDecoder {
    return {
      context: sequence.context, vocabulary: sequence.vocabulary, together: sequence.together,
      get position() { return sequence.position; },
      rewind: (position) => sequence.rewind(position),
      keep: (path) => sequence.keep(path),
      feed: (tokens) => this.#join({ sequence, tokens }),
      branch: (tokens, parents) => this.#join({ sequence, tokens, parents, all: true }),
    };
  }

  #join(intake: Intake): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      // What is wrong with one is no matter of the others.
      this.#decoder.check(intake);
      this.#waiting.push({ intake, resolve, reject });
      this.#whenAllWait();
    });
  }

  /** Those who do something else for a while are not waited for longer than a turn of the page or server. */
  #whenAllWait(): void {
    if (this.#waiting.length === 0) return;
    if (this.#waiting.length >= this.#writing.size) this.#run();
    else this.#soon ??= setTimeout(() => this.#run(), 0);
  }

  #run(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      this.#decoder.run(waiting.map(({ intake }) => intake)).forEach((logits, i) => waiting[i].resolve(logits));
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}
