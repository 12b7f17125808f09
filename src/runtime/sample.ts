/** The next token from logits: the likeliest, or drawn from what temperature, top-k, top-p and min-p leave. */
import { largest } from '../numeric/largest.ts';
import { uniform } from '../numeric/random.ts';

export interface SampleOptions {
  /** 0 takes the likeliest token; default 0. */
  readonly temperature?: number;
  /** Only this many of the likeliest tokens; 0 for all. */
  readonly topK?: number;
  /** Only the likeliest tokens whose probabilities add up to this; default 1. */
  readonly topP?: number;
  /** Only tokens at least this share as likely as the likeliest; default 0. */
  readonly minP?: number;
  /** Divides positive logits of tokens seen before, multiplies negative ones; default 1. */
  readonly repetitionPenalty?: number;
  readonly seed?: number;
}

/** Below this share of the likeliest token's weight nothing is ever drawn. */
const negligible = 1e-12;

/** Index of the largest logit, the first among equals. */
export function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

export interface Chance { readonly id: number; readonly probability: number }

/** A token that was drawn by chance, and what from. */
export interface Offer { readonly id: number; readonly drawnFrom: readonly Chance[] }

/** Tokens that may follow with their probabilities, likeliest first. */
export function distribution(logits: Float32Array, { temperature = 1, topK = 0, topP = 1, minP = 0 }: SampleOptions): Chance[] {
  const top = logits[likeliest(logits)];
  const weights = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) weights[i] = Math.exp((logits[i] - top) / temperature);
  // Far below the likeliest nothing is ever drawn, and sorting it would cost most of the time; so would sorting for a few.
  const least = Math.max(minP, negligible);
  const few = topK > 0 && topK <= 64;
  let order = few ? largest(weights, topK, least) : [...weights.keys()].filter((i) => weights[i] >= least).sort((a, b) => weights[b] - weights[a] || a - b);
  if (topK > 0) order = order.slice(0, topK);
  const total = order.reduce((sum, i) => sum + weights[i], 0);
  if (topP < 1) {
    let kept = 0;
    let sum = 0;
    while (kept < order.length && sum < topP * total) sum += weights[order[kept++]];
    order = order.slice(0, Math.max(1, kept));
  }
  const sum = order.reduce((all, i) => all + weights[i], 0);
  return order.map((id) => ({ id, probability: weights[id] / sum }));
}

/** Logits with tokens seen before made less likely. */
export function penalized(logits: Float32Array, penalty: number, seen: Iterable<number>): Float32Array {
  if (penalty === 1) return logits;
  const given = logits.slice();
  for (const id of new Set(seen)) given[id] = given[id] > 0 ? given[id] / penalty : given[id] * penalty;
  return given;
}

/** Likeliest tokens that are tried one by one before all are put in order. */
const triedFirst = 8;

/**
 * Logits where tokens that are not allowed, and those too unlikely to be asked about, are −∞; undefined where none is
 * allowed. What is drawn from them is drawn from all allowed tokens.
 */
export function masked(logits: Float32Array, temperature: number, allows: (id: number) => boolean): Float32Array | undefined {
  const given = logits.slice();
  const refuse = (id: number): void => { given[id] = -Infinity; };
  let best: number | undefined;
  for (let tried = 0; best === undefined && tried < triedFirst; tried++) {
    const id = likeliest(given);
    if (allows(id)) best = id;
    else refuse(id);
  }
  if (best === undefined) {
    for (const id of [...given.keys()].filter((one) => given[one] > -Infinity).sort((a, b) => given[b] - given[a] || a - b)) {
      if (allows(id)) {
        best = id;
        break;
      }
      refuse(id);
    }
  }
  if (best === undefined) return undefined;
  if (temperature <= 0) return given;
  const lowest = given[best] + temperature * Math.log(negligible);
  for (let id = 0; id < given.length; id++) if (id !== best && given[id] > -Infinity && (given[id] < lowest || !allows(id))) refuse(id);
  return given;
}

/** Streams of random numbers of those who draw at the same places of a text: the model that is asked, and those that guess for it. */
export const streamOf = (level: number): number => 2 * level;

/**
 * A token of given chances. One that is offered with chance q is taken with probability min(1, p / q), and else one is drawn
 * from what max(0, p − q) leaves: together exactly p (speculative sampling, Leviathan et al., arXiv:2211.17192).
 */
export function draw(chances: readonly Chance[], seed: number, stream: number, step: number, offer?: Offer): number {
  if (offer === undefined) return pick(chances, uniform(seed, stream, step));
  const offered = new Map(offer.drawnFrom.map(({ id, probability }) => [id, probability]));
  const p = chances.find(({ id }) => id === offer.id)?.probability ?? 0;
  if (uniform(seed, stream + 1, step) * offered.get(offer.id)! < p) return offer.id;
  const rest = chances.map(({ id, probability }) => ({ id, probability: Math.max(0, probability - (offered.get(id) ?? 0)) }));
  const sum = rest.reduce((all, { probability }) => all + probability, 0);
  // Equal chances leave nothing but rounding.
  return sum > 0 ? pick(rest, uniform(seed, stream, step) * sum) : pick(chances, uniform(seed, stream, step));
}

function pick(chances: readonly Chance[], at: number): number {
  let sum = 0;
  for (const { id, probability } of chances) {
    sum += probability;
    if (at < sum) return id;
  }
  return chances.findLast(({ probability }) => probability > 0)!.id;
}

/** The token at `step`; `seen` are those before it. Draws depend on seed, step and what is offered alone. */
export function sample(logits: Float32Array, options: SampleOptions, step: number, seen: Iterable<number>, offer?: Offer): number {
  const { temperature = 0, repetitionPenalty = 1, seed = 0 } = options;
  const given = penalized(logits, repetitionPenalty, seen);
  return temperature <= 0 ? likeliest(given) : draw(distribution(given, options), seed, streamOf(0), step, offer);
}
