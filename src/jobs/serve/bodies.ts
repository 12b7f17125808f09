/** Bodies of requests as clients of chat-completion services write them, brought into one form; what would change the answer and is not done is refused by name. */
import { z } from 'zod';
import { FewbitError } from '../../errors.ts';
import type { GenerateOptions } from '../../runtime/generate.ts';
import type { Message } from '../../runtime/chat.ts';
import { anyObject, jsonSchema, type Shape } from '../../runtime/json-schema.ts';
import { RequestError } from './errors.ts';

/** What a client may also send as null. */
const maybe = <S extends z.ZodType>(schema: S) => schema.nullish().transform((value) => value ?? undefined);
/** A field that may only say that it is not used. */
const unused = (name: string, ...harmless: readonly unknown[]) =>
  z.unknown().optional().refine((value) => value === undefined || value === null || harmless.some((one) => JSON.stringify(one) === JSON.stringify(value)), `${name} is not supported`);

const text = z.string().max(1_000_000);
const stopText = z.string().min(1).max(1000);

/** The schema is checked when it is read. */
const responseFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }), z.object({ type: z.literal('json_object') }), z.object({ type: z.literal('json_schema'), json_schema: z.object({ schema: z.unknown().refine((value) => value !== undefined, 'is missing') }) }),
], 'type must be text, json_object or json_schema, the last with json_schema.schema');

/** Texts of one answer at most: so many prompts, each so many times. */
const mostChoices = 128;

const shared = {
  model: maybe(z.string().max(1000)),
  temperature: maybe(z.number().min(0).max(2)),
  top_p: maybe(z.number().min(0).max(1)),
  top_k: maybe(z.number().int().nonnegative()),
  min_p: maybe(z.number().min(0).max(1)),
  repetition_penalty: maybe(z.number().positive().max(100)),
  seed: maybe(z.number().int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER)),
  stop: maybe(z.union([stopText.transform((one) => [one]), z.array(stopText).max(16)], 'must be a text of 1 to 1000 characters, or a list of up to 16 of them')),
  max_tokens: maybe(z.number().int().positive()),
  response_format: maybe(responseFormat),
  stream: maybe(z.boolean()),
  stream_options: maybe(z.object({ include_usage: maybe(z.boolean()) })),
  n: maybe(z.number().int().positive().max(mostChoices)),
  logit_bias: unused('logit_bias', {}),
  presence_penalty: unused('presence_penalty (repetition_penalty is)', 0),
  frequency_penalty: unused('frequency_penalty (repetition_penalty is)', 0),
};

const parts = z.array(z.object({ type: z.literal('text', 'only text is understood'), text })).max(1000).transform((all) => all.map((part) => part.text).join('\n'));

const message = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant']),
  content: z.union([text, parts, z.null().transform(() => '')], 'must be a text, or a list of parts of type text'),
});

const chatBody = z.object({
  ...shared,
  messages: z.array(message).min(1).max(10_000),
  max_completion_tokens: maybe(z.number().int().positive()),
  logprobs: maybe(z.boolean()),
  top_logprobs: maybe(z.number().int().min(0).max(20)),
  tools: unused('tools', []),
  functions: unused('functions', []),
  tool_choice: unused('tool_choice', 'none', 'auto'),
  audio: unused('audio'),
  modalities: unused('modalities other than text', ['text']),
});

const ids = z.array(z.number().int().nonnegative()).min(1).max(1_000_000);

const completionBody = z.object({
  ...shared,
  prompt: z.union([text.transform((one) => [one]), ids.transform((one) => [one]), z.array(text).min(1).max(mostChoices), z.array(ids).min(1).max(mostChoices)], `must be a text, a list of token ids, or a list of up to ${mostChoices} of either`),
  logprobs: maybe(z.number().int().min(0).max(20)),
  echo: unused('echo', false),
  suffix: unused('suffix', ''),
  best_of: unused('best_of other than 1', 1),
});

/** A request for text, whichever endpoint it came to. */
export interface TextRequest {
  readonly kind: 'chat' | 'text';
  /** Each is answered `choices` times. */
  readonly prompts: readonly (readonly Message[] | string | readonly number[])[];
  readonly choices: number;
  readonly options: GenerateOptions;
  /** What JSON the answer is. */
  readonly shape: Shape | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** How many of the likeliest tokens are told beside each; undefined for no probabilities. */
  readonly logprobs: number | undefined;
}

function parse<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message: words } = parsed.error.issues[0];
  const param = path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${String(part)}`)).join('');
  throw new RequestError(400, `${param === '' ? 'the body' : param}: ${words.charAt(0).toLowerCase()}${words.slice(1)}`, { param: param === '' ? null : param });
}

type Shared = z.output<z.ZodObject<typeof shared>>;

/** Draws that nobody asked to repeat; seeds of 31 bits. */
const anySeed = (): number => Math.floor(Math.random() * 2 ** 31);

function optionsOf(body: Shared, maxTokens: number): GenerateOptions {
  const { temperature = 1, top_p: topP = 1, top_k: topK = 0, min_p: minP = 0, repetition_penalty: repetitionPenalty = 1, seed = anySeed(), stop = [] } = body;
  return { temperature, topP, topK, minP, repetitionPenalty, seed, stop, maxTokens };
}

function formOf({ response_format: format, stream, stream_options: streamed }: Shared): Pick<TextRequest, 'shape' | 'stream' | 'includeUsage'> {
  const form = { stream: stream ?? false, includeUsage: streamed?.include_usage ?? false };
  if (format === undefined || format.type === 'text') return { ...form, shape: undefined };
  if (format.type === 'json_object') return { ...form, shape: anyObject };
  try {
    return { ...form, shape: jsonSchema(format.json_schema.schema) };
  } catch (error) {
    if (error instanceof FewbitError) throw new RequestError(400, error.message, { param: 'response_format', code: error.code });
    throw error;
  }
}

export function chatRequest(given: unknown): TextRequest {
  const body = parse(chatBody, given);
  const messages = body.messages.map(({ role, content }) => ({ role: role === 'developer' ? 'system' : role, content }));
  return {
    kind: 'chat', prompts: [messages], choices: body.n ?? 1, ...formOf(body),
    options: optionsOf(body, body.max_completion_tokens ?? body.max_tokens ?? Infinity),
    logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
  };
}

export function completionRequest(given: unknown): TextRequest {
  const body = parse(completionBody, given);
  const { prompt: prompts, n: choices = 1 } = body;
  if (prompts.length * choices > mostChoices) throw new RequestError(400, `n: ${prompts.length} prompts, each ${choices} times, are more than ${mostChoices} texts`, { param: 'n' });
  return { kind: 'text', prompts, choices, ...formOf(body), options: optionsOf(body, body.max_tokens ?? 16), logprobs: body.logprobs };
}
