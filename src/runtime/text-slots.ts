/** Texts that are written side by side: each goes into the slot that holds the most of its beginning. */
import { Batch } from './batch.ts';
import type { Decoder } from './generate.ts';
import type { LlamaDecoder } from './llama-decoder.ts';
import type { LlamaSequence } from './llama-sequence.ts';
import type { OpenedDrafts } from './open-drafts.ts';
import { PrefixCache } from './prefix-cache.ts';
import { SpeculativeDecoder } from './speculate.ts';
import { speculationReport, type SpeculationReport } from './speculation-report.ts';

interface Slot {
  readonly sequence: LlamaSequence;
  readonly decoder: PrefixCache;
  readonly guessed: { readonly decoder: SpeculativeDecoder; readonly levels: readonly SpeculativeDecoder[] } | undefined;
  writing: boolean;
  /** Rises with every text. */
  last: number;
}

export class TextSlots {
  readonly #slots: readonly Slot[];
  readonly #batch: Batch | undefined;
  #texts = 0;

  constructor(decoder: LlamaDecoder, drafts: OpenedDrafts | undefined, draftTokens: number) {
    const batch = decoder.sequences.length > 1 ? new Batch(decoder) : undefined;
    this.#batch = batch;
    this.#slots = decoder.sequences.map((sequence, index) => {
      const alone = batch?.member(sequence) ?? sequence;
      const draft = drafts?.for(index);
      const guessed = draft === undefined ? undefined : { decoder: new SpeculativeDecoder(alone, draft.drafter, { tokens: 2 * draftTokens }), levels: draft.levels };
      return { sequence, decoder: new PrefixCache(guessed?.decoder ?? alone), guessed, writing: false, last: 0 };
    });
  }

  /** The decoder of the first slot, which is the only one unless several were asked for. */
  get first(): PrefixCache { return this.#slots[0].decoder; }

  /** Writes in a free slot; where more texts are written than there are slots, in that of the oldest, which is refused when it goes on. */
  async *write<T>(prompt: readonly number[], run: (decoder: Decoder) => AsyncGenerator<string, T>): AsyncGenerator<string, T> {
    const free = this.#slots.filter(({ writing }) => !writing);
    const held = (slot: Slot): number => (free.length === 0 ? 0 : slot.decoder.shared(prompt));
    const [slot] = (free.length === 0 ? this.#slots : free).toSorted((a, b) => held(b) - held(a) || a.last - b.last);
    slot.writing = true;
    slot.last = ++this.#texts;
    slot.guessed?.decoder.countAnew();
    for (const level of slot.guessed?.levels ?? []) level.countAnew();
    const own = slot.last;
    this.#batch?.enter(slot.sequence);
    try {
      return yield* run(await slot.decoder.lend());
    } finally {
      if (slot.last === own) {
        slot.writing = false;
        this.#batch?.leave(slot.sequence);
      }
    }
  }

  /** What guesses brought for the text that was begun last. */
  async speculation(): Promise<SpeculationReport | undefined> {
    const [{ guessed }] = this.#slots.toSorted((a, b) => b.last - a.last);
    return guessed === undefined ? undefined : speculationReport(guessed.decoder, guessed.levels);
  }
}
