/** Whether texts that are drawn with guesses follow the chances of the model: χ² over all texts of three tokens behind a prompt. */
import { pathsOf, type BranchingDecoder } from '../runtime/draft.ts';
import type { LlamaDecoder } from '../runtime/llama-decoder.ts';
import { commonLength } from '../runtime/prefix-cache.ts';
import { distribution, sample } from '../runtime/sample.ts';
import type { SpeculativeDecoder } from '../runtime/speculate.ts';

/** Tokens are drawn from the eight likeliest, so that there are 512 texts, and every one is seen often enough. */
const sampling = { temperature: 1, topK: 8 } as const;

/** A decoder that computes the logits after a text once: texts are few here, and draws many. */
class Remembering implements BranchingDecoder {
  readonly context: number;
  readonly vocabulary: number;
  readonly together: number;
  readonly #decoder: LlamaDecoder;
  readonly #known = new Map<string, Float32Array>();
  /** What the decoder has read. */
  #held: readonly number[] = [];
  #text: number[] = [];
  #tree: readonly number[] = [];

  constructor(decoder: LlamaDecoder) {
    this.#decoder = decoder;
    this.context = decoder.context;
    this.vocabulary = decoder.vocabulary;
    this.together = decoder.together;
  }

  get position(): number { return this.#text.length; }
  rewind(position: number): number { return (this.#text.length = Math.min(position, this.#text.length)); }
  feed(tokens: readonly number[]): Float32Array {
    this.#text.push(...tokens);
    return this.after(this.#text);
  }
  branch(tokens: readonly number[], parents: readonly number[]): Float32Array {
    this.#tree = tokens;
    const logits = new Float32Array(tokens.length * this.vocabulary);
    pathsOf(parents).forEach((path, i) => logits.set(this.after([...this.#text, ...path.map((at) => tokens[at])]), i * this.vocabulary));
    return logits;
  }
  keep(path: readonly number[]): void { for (const at of path) this.#text.push(this.#tree[at]); }

  after(text: readonly number[]): Float32Array {
    const key = text.join();
    let logits = this.#known.get(key);
    if (logits === undefined) {
      const from = this.#decoder.rewind(commonLength(this.#held, text, text.length - 1));
      this.#known.set(key, logits = this.#decoder.feed(text.slice(from)));
      this.#held = text.slice();
    }
    return logits;
  }
}

/** What is passed once in a thousand (Wilson and Hilferty's approximation). */
const rare = (freedom: number): number => freedom * (1 - 2 / (9 * freedom) + 3.0902 * Math.sqrt(2 / (9 * freedom))) ** 3;

export async function drawnChiSquare(
  decoders: readonly [target: LlamaDecoder, draft: LlamaDecoder, below: LlamaDecoder], prompt: readonly number[], draws: number,
  guessedBy: (target: BranchingDecoder, draft: BranchingDecoder, below: BranchingDecoder) => SpeculativeDecoder,
): Promise<{ readonly statistic: number; readonly freedom: number; readonly limit: number; readonly guessed: number }> {
  const [target, draft, below] = decoders.map((decoder) => new Remembering(decoder));
  const decoder = guessedBy(target, draft, below);
  const counts = new Map<string, number>();
  for (let seed = 0; seed < draws; seed++) {
    const options = { ...sampling, seed };
    decoder.rewind(0);
    decoder.prepare(options);
    let logits = await decoder.feed(prompt);
    const ids: number[] = [];
    for (;;) {
      ids.push(sample(logits, options, ids.length, [], decoder.offer));
      if (ids.length === 3) break;
      logits = await decoder.feed(ids.slice(-1));
    }
    counts.set(ids.join(), (counts.get(ids.join()) ?? 0) + 1);
  }
  let [statistic, cells, restExpected, restFound] = [0, 0, 0, draws];
  const chances = (text: readonly number[]) => distribution(target.after([...prompt, ...text]), sampling);
  for (const a of chances([])) {
    for (const b of chances([a.id])) {
      for (const c of chances([a.id, b.id])) {
        const expected = draws * a.probability * b.probability * c.probability;
        // Texts that are expected less than five times count as one.
        if (expected < 5) {
          restExpected += expected;
          continue;
        }
        const found = counts.get([a.id, b.id, c.id].join()) ?? 0;
        restFound -= found;
        statistic += (found - expected) ** 2 / expected;
        cells++;
      }
    }
  }
  if (restExpected > 0) {
    statistic += (restFound - restExpected) ** 2 / restExpected;
    cells++;
  }
  return { statistic, freedom: cells - 1, limit: rare(cells - 1), guessed: decoder.counts.right };
}
