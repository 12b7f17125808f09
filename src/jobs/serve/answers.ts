/** Answers in the two forms that clients know: messages of a chat, and texts. */
import type { Tokenizer } from '../../models/tokenizer.ts';
import { largest } from '../../numeric/largest.ts';
import type { Generated } from '../../runtime/generate.ts';
import type { TextRequest } from './bodies.ts';

/** A token that was written, its log probability, and the likeliest at its place. */
export interface TokenChance { readonly token: string; readonly logprob: number; readonly top: readonly { readonly token: string; readonly logprob: number }[] }

/** Log probabilities of a model's logits, whatever was drawn from them and how. */
export function tokenChance(tokenizer: Tokenizer, id: number, logits: Float32Array, count: number): TokenChance {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const norm = top + Math.log(sum);
  const of = (one: number): { token: string; logprob: number } => ({ token: tokenizer.decode([one]), logprob: logits[one] - norm });
  return { ...of(id), top: largest(logits, count).map(of) };
}

export const finishReason = (end: Generated['end']): 'stop' | 'length' => (end === 'length' || end === 'context' ? 'length' : 'stop');

/** One text of an answer: what was written, and the chances of its tokens where they were asked for. */
export interface Choice { readonly result: Generated; readonly chances: readonly TokenChance[] | undefined }

/** A prompt that is answered several times counts once. */
export function usageOf(choices: readonly Choice[], each: number): object {
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
  const prompts = choices.filter((_, i) => i % each === 0).map(({ result }) => result);
  const [read, written] = [sum(prompts.map(({ promptTokens }) => promptTokens)), sum(choices.map(({ result }) => result.ids.length))];
  return { prompt_tokens: read, completion_tokens: written, total_tokens: read + written, prompt_tokens_details: { cached_tokens: sum(prompts.map(({ cachedTokens }) => cachedTokens)) } };
}

/** Bytes are unknown where a token holds only a part of a character. */
const chatChance = ({ token, logprob, top }: TokenChance): object => {
  const bytes = (text: string): number[] | null => (text.includes('\ufffd') ? null : [...new TextEncoder().encode(text)]);
  return { token, logprob, bytes: bytes(token), top_logprobs: top.map((one) => ({ ...one, bytes: bytes(one.token) })) };
};

/** Log probabilities in the form of an endpoint; `offset` is the length of the text before them. */
function chances(kind: TextRequest['kind'], all: readonly TokenChance[] | undefined, offset: number): object | null {
  if (all === undefined) return null;
  if (kind === 'chat') return { content: all.map(chatChance), refusal: null };
  let at = offset;
  const offsets = all.map(({ token }) => { const from = at; at += token.length; return from; });
  return {
    tokens: all.map(({ token }) => token), token_logprobs: all.map(({ logprob }) => logprob), text_offset: offsets,
    top_logprobs: all.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
  };
}

export interface AnswerHead { readonly id: string; readonly created: number; readonly model: string }

/** An answer as one document; `each` is how many texts a prompt has. */
export function wholeAnswer(kind: TextRequest['kind'], head: AnswerHead, choices: readonly Choice[], each: number): object {
  const listed = choices.map(({ result, chances: all }, index) => {
    const choice = { index, finish_reason: finishReason(result.end), logprobs: chances(kind, all, 0) };
    return kind === 'chat' ? { ...choice, message: { role: 'assistant', content: result.text, refusal: null } } : { ...choice, text: result.text };
  });
  return { ...head, object: kind === 'chat' ? 'chat.completion' : 'text_completion', choices: listed, usage: usageOf(choices, each) };
}

/** A part of a streamed answer: text, and at the end the reason. The first of a chat also says who speaks. */
export function partOfAnswer(kind: TextRequest['kind'], head: AnswerHead, part: { readonly index: number; readonly text?: string; readonly role?: string; readonly end?: Generated['end']; readonly chances?: readonly TokenChance[]; readonly offset?: number }): object {
  const { index, text, role, end, offset = 0 } = part;
  const choice = { index, finish_reason: end === undefined ? null : finishReason(end), logprobs: chances(kind, part.chances, offset) };
  return kind === 'chat'
    ? { ...head, object: 'chat.completion.chunk', choices: [{ ...choice, delta: { ...(role === undefined ? {} : { role }), ...(text === undefined ? {} : { content: text }) } }] }
    : { ...head, object: 'text_completion', choices: [{ ...choice, text: text ?? '' }] };
}

/** The last part of a stream whose client wants to know what it took. */
export const usagePart = (kind: TextRequest['kind'], head: AnswerHead, choices: readonly Choice[], each: number): object =>
  ({ ...head, object: kind === 'chat' ? 'chat.completion.chunk' : 'text_completion', choices: [], usage: usageOf(choices, each) });
