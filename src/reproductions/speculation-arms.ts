/** Ways to decode that are compared: who guesses for the model, and what the cost model needs to know of it. */
import { median } from '../numeric/statistics.ts';
import { ChainDrafter } from '../runtime/draft-chain.ts';
import { NgramDrafter } from '../runtime/draft-ngram.ts';
import { TreeDrafter } from '../runtime/draft-tree.ts';
import type { Decoder } from '../runtime/generate.ts';
import type { LlamaDecoder } from '../runtime/llama-decoder.ts';
import { likeliest } from '../runtime/sample.ts';
import { acceptedLength, SpeculativeDecoder, type SpeculationCounts } from '../runtime/speculate.ts';
import { predictedSpeedUp } from '../runtime/speculation-cost.ts';

/** Milliseconds of a pass over n tokens, by n. */
export type PassTimes = ReadonlyMap<number, number>;

/** Between two sizes that were measured, along a line. */
export function passTime(times: PassTimes, tokens: number): number {
  const sizes = [...times.keys()];
  const above = sizes.find((size) => size >= tokens) ?? sizes.at(-1)!;
  const below = sizes.findLast((size) => size <= tokens) ?? sizes[0];
  const share = above === below ? 0 : (tokens - below) / (above - below);
  return times.get(below)! + share * (times.get(above)! - times.get(below)!);
}

export interface Speculation {
  readonly decoder: SpeculativeDecoder;
  /** The small model that is guessed for itself. */
  readonly inner?: SpeculativeDecoder;
  /** Milliseconds of drafting for a round. */
  draftTime(draft: PassTimes, counts: SpeculationCounts, inner: SpeculationCounts | undefined): number;
}

export type Arms = Readonly<Record<string, (target: LlamaDecoder, draft: LlamaDecoder) => Speculation>>;

const chain = (length: number): Arms[string] => (target, draft) => ({
  decoder: new SpeculativeDecoder(target, new ChainDrafter(draft, length), { tokens: length }), draftTime: (times) => length * passTime(times, 1),
});

/** EAGLE-2's passes; each reads the paths of the earlier ones again. */
const tree = (width: number, tokens: number): Arms[string] => (target, draft) => ({
  decoder: new SpeculativeDecoder(target, new TreeDrafter(draft, { passes: 3, width }), { tokens }), draftTime: (times) => passTime(times, 1) + passTime(times, width) + passTime(times, 2 * width),
});

/** Tokens that an n-gram adds to a guess. */
const lookup = 3;

/** SpecMQuant: the small model writes at least `length` tokens, n-grams of the text guess for it. */
const hierarchical = (length: number): Arms[string] => (target, draft) => {
  const inner = new SpeculativeDecoder(draft, new NgramDrafter({ depth: lookup }), { tokens: lookup });
  return {
    inner, decoder: new SpeculativeDecoder(target, new ChainDrafter(inner, length), { tokens: length + lookup }),
    draftTime: (times, { rounds }, small) => (small!.rounds / rounds) * passTime(times, 1 + small!.guessed / small!.rounds),
  };
};

export const chainLengths = [2, 3, 4, 5, 6, 7, 8] as const;

export const arms: Arms = {
  'n-grams': (target) => ({ decoder: new SpeculativeDecoder(target, new NgramDrafter({ depth: lookup }), { tokens: lookup }), draftTime: () => 0 }),
  ...Object.fromEntries(chainLengths.map((length) => [`chain of ${length}`, chain(length)])),
  'tree of 8': tree(4, 8), 'tree of 30': tree(10, 30),
  'two levels, 3': hierarchical(3), 'two levels, 6': hierarchical(6),
};

export interface Written {
  readonly ids: readonly number[];
  /** Without reading the prompt. */
  readonly milliseconds: number;
}

/** The likeliest tokens after a prompt. */
export async function writeGreedy(decoder: Decoder, prompt: readonly number[], count: number, now: () => number): Promise<Written> {
  decoder.rewind(0);
  decoder.prepare?.({});
  const ids = [likeliest(await decoder.feed(prompt))];
  const started = now();
  while (ids.length < count) ids.push(likeliest(await decoder.feed(ids.slice(-1))));
  return { ids, milliseconds: now() - started };
}

/** What the cost model says from the times of passes and what was accepted. */
export function predicted({ draftTime }: Speculation, target: PassTimes, draft: PassTimes, counts: SpeculationCounts, inner: SpeculationCounts | undefined): number {
  const step = passTime(target, 1);
  return predictedSpeedUp({
    acceptedLength: acceptedLength(counts), passes: 1, draft: draftTime(draft, counts, inner) / step, verify: passTime(target, 1 + counts.guessed / counts.rounds) / step,
  });
}

/** Tokens of a timing, at least. */
const timedTokens = 16;

/** Milliseconds of passes over n tokens behind a text: medians of interleaved runs, each over that of one token in the same run. */
export function measurePasses(decoder: LlamaDecoder, sizes: readonly number[], runs: number, now: () => number, at = 16): PassTimes {
  const times = sizes.map((): number[] => []);
  const token = (i: number): number => (i * 37 + 11) % decoder.vocabulary;
  decoder.rewind(0);
  decoder.feed(Array.from({ length: at }, (_, i) => token(i)));
  for (let run = -1; run < runs; run++) {
    sizes.forEach((size, i) => {
      const tokens = Array.from({ length: size }, (_, t) => token(t));
      // A clock of the processor is slow to read: short passes are timed several at once.
      const passes = Math.max(1, Math.floor(timedTokens / size));
      const started = now();
      for (let pass = 0; pass < passes; pass++) {
        decoder.feed(tokens, { all: true });
        decoder.rewind(at);
      }
      // The first run warms up.
      if (run >= 0) times[i].push((now() - started) / passes);
    });
  }
  const step = median(times[0]);
  return new Map(sizes.map((size, i) => [size, step * median(times[i].map((time, run) => time / times[0][run]))]));
}
