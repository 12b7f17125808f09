/** Text that a decoder writes, piece by piece, until it ends, is stopped, or has no room. */
import type { Tokenizer } from '../models/tokenizer.ts';
import { sample, type SampleOptions } from './sample.ts';

/** What generates: tokens in, logits after the last one out. */
export interface Decoder {
  readonly context: number;
  position: number;
  feed(tokens: readonly number[]): Float32Array;
}

export interface GenerateOptions extends SampleOptions {
  /** Tokens to write at most; default 128. */
  readonly maxTokens?: number;
  /** Texts that end the output, and are not part of it. */
  readonly stop?: readonly string[];
  /** Tokens that end the output. */
  readonly endTokens?: readonly number[];
  readonly signal?: AbortSignal;
}

export interface Generated {
  readonly text: string;
  readonly ids: readonly number[];
  readonly end: 'end token' | 'stop text' | 'length' | 'context' | 'cancelled';
  readonly promptTokens: number;
  /** Seconds until the first token, and for all that followed. */
  readonly seconds: { readonly prompt: number; readonly decode: number };
}

/** Yields text as it becomes certain; returns all of it. The decoder goes on from where it stands. */
export async function* generate(decoder: Decoder, tokenizer: Tokenizer, prompt: readonly number[], options: GenerateOptions = {}): AsyncGenerator<string, Generated> {
  const { maxTokens = 128, stop = [], endTokens = [], signal } = options;
  const ids: number[] = [];
  let text = '';
  let given = 0;
  const started = performance.now();
  let logits = decoder.feed(prompt);
  const first = performance.now();
  const result = (end: Generated['end']): Generated =>
    ({ text, ids, end, promptTokens: prompt.length, seconds: { prompt: (first - started) / 1000, decode: (performance.now() - first) / 1000 } });
  /** Text that could still turn out to be the beginning of a stop text, or half of a character. */
  const held = (): number => {
    if (text.endsWith('\ufffd')) return text.length - text.replace(/\ufffd+$/, '').length;
    for (let length = Math.min(text.length, Math.max(0, ...stop.map((one) => one.length - 1))); length > 0; length--) {
      if (stop.some((one) => one.startsWith(text.slice(text.length - length)))) return length;
    }
    return 0;
  };
  for (;;) {
    // The page or server that shows the text gets its turn between tokens.
    await new Promise((resolve) => { setTimeout(resolve, 0); });
    if (signal?.aborted === true) return result('cancelled');
    const id = sample(logits, options, ids.length, [...prompt, ...ids]);
    if (endTokens.includes(id)) {
      if (text.length > given) yield text.slice(given);
      return result('end token');
    }
    ids.push(id);
    text = tokenizer.decode(ids, { skipSpecialTokens: true });
    const cut = Math.min(...stop.map((one) => text.indexOf(one)).filter((at) => at >= 0));
    if (cut !== Infinity) {
      text = text.slice(0, cut);
      if (text.length > given) yield text.slice(given);
      return result('stop text');
    }
    const end = ids.length >= maxTokens ? 'length' : decoder.position >= decoder.context ? 'context' : undefined;
    const certain = end === undefined ? text.length - held() : text.length;
    if (certain > given) {
      yield text.slice(given, certain);
      given = certain;
    }
    if (end !== undefined) return result(end);
    logits = decoder.feed([id]);
  }
}
