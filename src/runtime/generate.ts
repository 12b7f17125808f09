/** Text that a decoder writes, piece by piece, until it ends, is stopped, or has no room. */
import { defineErrors } from '../errors.ts';
import type { Tokenizer } from '../models/tokenizer.ts';
import { checkWriting } from './check-options.ts';
import type { Constraint } from './constrain.ts';
import { masked, penalized, sample, type Offer, type SampleOptions } from './sample.ts';
import { TextStream } from './text-stream.ts';

/** What generates: tokens in, logits after the last one out. */
export interface Decoder {
  readonly context: number;
  readonly position: number;
  feed(tokens: readonly number[]): Float32Array | Promise<Float32Array>;
  /** Forgets what came after `position` tokens; gives how many are still held. */
  rewind(position: number): number;
  /** Stands behind the longest beginning of the prompt that is still held; gives how many tokens that are. */
  begin?(prompt: readonly number[]): number;
  /** Told how tokens will be drawn, before a text is written. */
  prepare?(sampling: SampleOptions): void;
  /** A guess at the next token that was drawn by chance: it must be taken or refused by its chances. */
  readonly offer?: Offer | undefined;
}

export interface GenerateOptions extends SampleOptions {
  /** Tokens to write at most; default 128. With 0 the prompt is read, and held for the next text. */
  readonly maxTokens?: number;
  /** Texts that end the output, and are not part of it. */
  readonly stop?: readonly string[];
  /** Tokens that end the output. */
  readonly endTokens?: readonly number[];
  readonly signal?: AbortSignal;
  /** Holds the output to a form; used for one text. */
  readonly constraint?: Constraint;
  /** Told of every token that is written, with the logits that it was taken from. */
  onToken?(id: number, logits: Float32Array): void;
}

export interface Generated {
  readonly text: string;
  readonly ids: readonly number[];
  /** `complete`: what the constraint asks for is there. */
  readonly end: 'end token' | 'stop text' | 'complete' | 'length' | 'context' | 'cancelled';
  readonly promptTokens: number;
  /** Tokens of the prompt that the decoder still held from before. */
  readonly cachedTokens: number;
  /** Seconds until the first token, and for all that followed. */
  readonly seconds: { readonly prompt: number; readonly decode: number };
}

const errors = defineErrors('generate', {
  empty: (_: Record<string, never>) => 'the prompt has no tokens: give at least one character that the model knows',
  stuck: (_: Record<string, never>) => 'no token of the vocabulary continues the text in the form that was asked for',
});

/** Tokens of a prompt between two looks at whether it was cancelled. */
const promptStep = 32;
/** Milliseconds that the page or server around has to wait for its turn; browsers make every turn at least 4 long. */
const turn = 8;

/** Yields text as it becomes certain; returns all of it. The decoder goes on from where it stands, or where it can begin. */
export async function* generate(decoder: Decoder, tokenizer: Tokenizer, prompt: readonly number[], options: GenerateOptions = {}): AsyncGenerator<string, Generated> {
  const { maxTokens = 128, stop = [], endTokens = [], signal, constraint, onToken } = options;
  checkWriting(options);
  if (prompt.length === 0) throw errors.empty({});
  const ids: number[] = [];
  const seen = new Set(prompt);
  // Spaces that are taken out of the text would be missing from what the constraint saw.
  const stream = new TextStream(tokenizer, constraint === undefined ? {} : { cleanUpSpaces: false });
  /** Text that is certain, and of it what was not given yet because a stop text may begin with it. */
  let text = '';
  let open = '';
  const started = performance.now();
  let first = started;
  let rested = started;
  const result = (end: Generated['end'], rest = ''): Generated => ({
    text: text + rest, ids, end, promptTokens: prompt.length, cachedTokens: cached,
    seconds: { prompt: (first - started) / 1000, decode: (performance.now() - first) / 1000 },
  });
  const cancelled = async (): Promise<boolean> => {
    if (performance.now() - rested > turn) {
      await new Promise((resolve) => { setTimeout(resolve, 0); });
      rested = performance.now();
    }
    return signal?.aborted === true;
  };
  const next = (logits: Float32Array): number => {
    if (constraint === undefined) return sample(logits, options, ids.length, seen, decoder.offer);
    // One token more than there is room for in the context: the last one is not read.
    const left = Math.min(maxTokens - ids.length, decoder.context - decoder.position + 1);
    const allows = (id: number): boolean => (endTokens.includes(id) ? constraint.mayEnd : constraint.allows(id, left - 1));
    const allowed = masked(penalized(logits, options.repetitionPenalty ?? 1, seen), options.temperature ?? 0, allows);
    if (allowed === undefined) throw errors.stuck({});
    return sample(allowed, { ...options, repetitionPenalty: 1 }, ids.length, [], decoder.offer);
  };
  decoder.prepare?.(options);
  const cached = decoder.begin?.(prompt) ?? 0;
  // A prompt that does not fit is refused before any of it is read.
  const step = decoder.position + prompt.length - cached > decoder.context ? prompt.length : promptStep;
  let logits: Float32Array | undefined;
  for (let at = cached; at < prompt.length; at += step) {
    if (await cancelled()) return result('cancelled');
    logits = await decoder.feed(prompt.slice(at, at + step));
  }
  first = performance.now();
  if (maxTokens === 0) return result('length');
  for (;;) {
    if (await cancelled()) return result('cancelled', open + stream.tail);
    const id = next(logits!);
    if (endTokens.includes(id)) {
      const rest = open + stream.tail;
      if (rest !== '') yield rest;
      return result('end token', rest);
    }
    ids.push(id);
    seen.add(id);
    onToken?.(id, logits!);
    constraint?.take(id);
    open += stream.add(id);
    const visible = open + stream.tail;
    const cut = Math.min(...stop.map((one) => visible.indexOf(one)).filter((at) => at >= 0));
    if (cut !== Infinity) {
      if (cut > 0) yield visible.slice(0, cut);
      return result('stop text', visible.slice(0, cut));
    }
    const end = constraint?.complete === true ? 'complete' : ids.length >= maxTokens ? 'length' : decoder.position >= decoder.context ? 'context' : undefined;
    if (end !== undefined) {
      if (visible !== '') yield visible;
      return result(end, visible);
    }
    const certain = Math.min(open.length, visible.length - begun(visible, stop));
    if (certain > 0) {
      const piece = open.slice(0, certain);
      yield piece;
      text += piece;
      open = open.slice(certain);
    }
    logits = await decoder.feed([id]);
  }
}

/** Length of the longest end of a text that a stop text begins with. */
function begun(text: string, stop: readonly string[]): number {
  for (let length = Math.min(text.length, Math.max(0, ...stop.map((one) => one.length - 1))); length > 0; length--) {
    if (stop.some((one) => one.startsWith(text.slice(text.length - length)))) return length;
  }
  return 0;
}
