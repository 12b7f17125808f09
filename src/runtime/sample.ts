/** The next token from logits: the likeliest, or drawn from what temperature, top-k, top-p and min-p leave. */
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

/** Tokens that may follow with their probabilities, likeliest first. */
export function distribution(logits: Float32Array, { temperature = 1, topK = 0, topP = 1, minP = 0 }: SampleOptions): { readonly id: number; readonly probability: number }[] {
  const top = logits[likeliest(logits)];
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  // Far below the likeliest nothing is ever drawn, and sorting it would cost most of the time.
  let order = [...weights.keys()].filter((i) => weights[i] >= Math.max(minP, negligible)).sort((a, b) => weights[b] - weights[a] || a - b);
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

/** The token at `step`; `seen` are those before it. Draws depend on seed and step alone. */
export function sample(logits: Float32Array, options: SampleOptions, step: number, seen: Iterable<number>): number {
  const { temperature = 0, repetitionPenalty = 1, seed = 0 } = options;
  const given = penalized(logits, repetitionPenalty, seen);
  if (temperature <= 0) return likeliest(given);
  const draw = uniform(seed, 0, step);
  let sum = 0;
  const choices = distribution(given, options);
  for (const { id, probability } of choices) {
    sum += probability;
    if (draw < sum) return id;
  }
  return choices.at(-1)!.id;
}
