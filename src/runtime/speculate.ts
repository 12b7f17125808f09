/**
 * A decoder that looks ahead: a drafter guesses what will follow, the model reads all guesses in one pass, and whoever
 * feeds a token that was guessed gets logits that are there already. Logits are those of the model alone, bit for bit,
 * whatever was guessed; so is every text that is written from them.
 */
import { noDraft, type BranchingDecoder, type Draft, type Drafter } from './draft.ts';
import type { Decoder } from './generate.ts';
import type { Offer, SampleOptions } from './sample.ts';

/** Tokens that are fed together while a text is written: the last of a draft, and the one behind it. More are read without guesses. */
const written = 2;

export interface SpeculationCounts {
  /** Passes of the model while a text is written. */
  readonly rounds: number;
  /** Tokens that were fed and guessed right. */
  readonly right: number;
  /** Tokens that were guessed. */
  readonly guessed: number;
  /** Seconds of drafting and of the model's passes. */
  readonly draft: number;
  readonly verify: number;
}

const nothing: SpeculationCounts = { rounds: 0, right: 0, guessed: 0, draft: 0, verify: 0 };

/** Tokens per pass, the one that the model adds itself among them. */
export const acceptedLength = ({ rounds, right }: SpeculationCounts): number => (rounds === 0 ? 1 : 1 + right / rounds);

/** A tree that the model has read, and the path through it that became text. */
interface Read { readonly tokens: readonly number[]; readonly parents: readonly number[]; readonly logits: Float32Array; readonly draft: Draft; readonly path: number[] }

export class SpeculativeDecoder implements Decoder {
  readonly #target: BranchingDecoder;
  readonly #drafter: Drafter;
  readonly #most: number;
  #text: number[] = [];
  #read: Read | undefined;
  #sampling: SampleOptions = {};
  #counts: SpeculationCounts = nothing;

  /** At most `tokens` are guessed for a pass. */
  constructor(target: BranchingDecoder, drafter: Drafter, { tokens = 8 }: { readonly tokens?: number } = {}) {
    this.#target = target;
    this.#drafter = drafter;
    this.#most = tokens;
  }

  get context(): number { return this.#target.context; }
  get position(): number { return this.#text.length; }
  /** Since they were last begun anew. */
  get counts(): SpeculationCounts { return this.#counts; }

  prepare(sampling: SampleOptions): void { this.#sampling = sampling; }
  countAnew(): void { this.#counts = nothing; }

  rewind(position: number): number {
    this.#settle();
    this.#text.length = this.#target.rewind(position);
    return this.position;
  }

  /** Whether the logits after a token are there already. */
  holds(id: number): boolean { return this.#child(id) !== undefined; }

  /** The guess for the next token, where chance drew it. */
  get offer(): Offer | undefined {
    const read = this.#read;
    if (read?.draft.drawnFrom === undefined) return undefined;
    const next = read.path.at(-1)! + 1;
    const drawnFrom = read.draft.drawnFrom[next - (read.tokens.length - read.draft.tokens.length)];
    return drawnFrom === undefined ? undefined : { id: read.tokens[next], drawnFrom };
  }

  async feed(tokens: readonly number[]): Promise<Float32Array> {
    const known = tokens.length === 1 ? this.#child(tokens[0]) : undefined;
    if (known !== undefined) {
      this.#read!.path.push(known);
      this.#text.push(tokens[0]);
      this.#counts = { ...this.#counts, right: this.#counts.right + 1 };
      return this.#row(known);
    }
    this.#settle();
    if (tokens.length > written) return this.#plain(tokens);
    const started = performance.now();
    const room = Math.min(this.#most, this.#target.together - tokens.length, this.context - this.position - tokens.length);
    const draft = room > 0 ? await this.#drafter.draft([...this.#text, ...tokens], { tokens: room, sampling: this.#sampling }) : noDraft;
    const drafted = performance.now();
    const logits = draft.tokens.length === 0 ? await this.#plain(tokens) : await this.#branch(tokens, draft);
    const { rounds, right, guessed, draft: before, verify } = this.#counts;
    this.#counts = { rounds: rounds + 1, right, guessed: guessed + draft.tokens.length, draft: before + (drafted - started) / 1000, verify: verify + (performance.now() - drafted) / 1000 };
    return logits;
  }

  /** Seconds of a step of the model alone behind the text, which stays as it is but for the last token of a full context. */
  async timeStep(): Promise<number> {
    if (this.position === this.context) this.rewind(this.context - 1);
    this.#settle();
    const started = performance.now();
    await this.#target.branch([0], [-1]);
    this.#target.keep([]);
    return (performance.now() - started) / 1000;
  }

  async #plain(tokens: readonly number[]): Promise<Float32Array> {
    const logits = await this.#target.feed(tokens);
    for (const id of tokens) this.#text.push(id);
    return logits;
  }

  async #branch(tokens: readonly number[], draft: Draft): Promise<Float32Array> {
    const all = [...tokens, ...draft.tokens];
    const parents = [...tokens.map((_, i) => i - 1), ...draft.parents.map((parent) => parent + tokens.length)];
    const logits = await this.#target.branch(all, parents);
    this.#read = { tokens: all, parents, logits, draft, path: tokens.map((_, i) => i) };
    this.#text.push(...tokens);
    return this.#row(tokens.length - 1);
  }

  #child(id: number): number | undefined {
    const read = this.#read;
    if (read === undefined) return undefined;
    const at = read.path.at(-1)!;
    const found = read.tokens.findIndex((token, i) => token === id && read.parents[i] === at);
    return found < 0 ? undefined : found;
  }

  #row(node: number): Float32Array {
    const width = this.#target.vocabulary;
    return this.#read!.logits.slice(node * width, (node + 1) * width);
  }

  /** The path that became text stays with the model, other branches go. */
  #settle(): void {
    if (this.#read !== undefined) this.#target.keep(this.#read.path);
    this.#read = undefined;
  }
}
