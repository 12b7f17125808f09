/** Runs a language model on the low-bit engine: a prompt in, text out as it is written. */
import { z } from 'zod';
import { openFile } from '../files/fs-node.ts';
import { parseJsonBytes, type Json } from '../files/json.ts';
import { jsonConstraint } from '../runtime/constrain.ts';
import { cacheFormats } from '../runtime/kv-caches.ts';
import type { Message } from '../runtime/chat.ts';
import type { Generated, GenerateOptions } from '../runtime/generate.ts';
import { jsonSchema } from '../runtime/json-schema.ts';
import type { SpeculationReport } from '../runtime/speculation-report.ts';
import { silentProgress, type Progress } from './progress.ts';
import { checkSettings } from './settings.ts';
import { draftSettings, openText, type OpenedText } from './text-model-node.ts';

/** Settings of every way to have text written, but for what is read. */
export const writerSettings = z.strictObject({
  model: z.string().min(1),
  /** Said to the model before the message. */
  system: z.string().optional(),
  maxTokens: z.coerce.number().int().positive().default(128),
  context: z.coerce.number().int().positive().optional(),
  temperature: z.coerce.number().nonnegative().default(0),
  topK: z.coerce.number().int().nonnegative().default(0),
  topP: z.coerce.number().positive().max(1).default(1),
  minP: z.coerce.number().min(0).max(1).default(0),
  repetitionPenalty: z.coerce.number().positive().default(1),
  /** Texts that end the output. */
  stop: z.union([z.string().transform((one) => [one]), z.array(z.string().min(1))]).default([]),
  /** File with a JSON schema, or the schema itself: the output is JSON that is valid under it. */
  jsonSchema: z.union([z.string().min(1), z.record(z.string(), z.unknown())]).optional(),
  /** Block type that float weights take as they are loaded. */
  weights: z.string().optional(),
  /** How keys and values are held. */
  cache: z.enum(cacheFormats).default('float'),
  seed: z.coerce.number().int().default(0),
  threads: z.coerce.number().int().positive().max(256).default(2),
  ...draftSettings,
});
const runSettings = writerSettings.extend({
  prompt: z.string().min(1),
  /** The prompt is a message, put into the model's chat template. */
  chat: z.boolean().default(false),
});
export type RunRequest = z.input<typeof runSettings>;

export interface RunResult extends Generated {
  readonly model: string;
  /** Tokens per second: reading the prompt, and writing. */
  readonly speed: { readonly prompt: number; readonly decode: number };
  /** What guesses brought, where there were drafts. */
  readonly speculation?: SpeculationReport;
  /** Bytes of the file or folder, of the engine's memory, and of keys and values in it. */
  readonly bytes: { readonly model: number; readonly memory: number; readonly cache: number };
}

/** Schemas of whole libraries stay below a megabyte. */
const maxSchemaBytes = 4_000_000;

const readSchema = async (file: string): Promise<Json> => {
  const source = await openFile(file);
  try {
    return parseJsonBytes(await source.read(0, Math.min(source.size, maxSchemaBytes + 1)), file, { maxBytes: maxSchemaBytes });
  } finally {
    await source.close();
  }
};

/** A model that is open, and what is asked of every text. */
export interface Writer extends OpenedText {
  options(signal?: AbortSignal): GenerateOptions;
  /** Messages with what is said before them. */
  messages(all: readonly Message[]): Message[];
}

export async function openWriter(settings: z.output<typeof writerSettings>, progress: Progress): Promise<Writer> {
  const { model: location, system, weights, cache, context, threads, draft, draftTokens, draftTree, tokenizer, jsonSchema: schema, ...options } = settings;
  const shape = schema === undefined ? undefined : jsonSchema(typeof schema === 'string' ? await readSchema(schema) : schema);
  const opened = await openText(location, { weights, context, cache, threads, draft, draftTokens, draftTree, tokenizer, progress });
  return {
    ...opened,
    options: (signal) => ({ ...options, ...(shape === undefined ? {} : { constraint: jsonConstraint(opened.model.tokenizer, shape) }), ...(signal === undefined ? {} : { signal }) }),
    messages: (all) => [...(system === undefined ? [] : [{ role: 'system', content: system }]), ...all],
  };
}

/** Hands on pieces of a text, and gives what came of it. */
export async function written<T>(pieces: AsyncGenerator<string, T>, onText?: (text: string) => void): Promise<T> {
  for (;;) {
    const next = await pieces.next();
    if (next.done === true) return next.value;
    onText?.(next.value);
  }
}

/** Tokens per second: reading the prompt, and writing. */
export const speedOf = ({ promptTokens, cachedTokens, ids, seconds }: Generated): RunResult['speed'] =>
  ({ prompt: (promptTokens - cachedTokens) / seconds.prompt, decode: Math.max(0, ids.length - 1) / seconds.decode });

export async function run(request: RunRequest, { onText, progress = silentProgress, signal }: { onText?(text: string): void; readonly progress?: Progress; readonly signal?: AbortSignal } = {}): Promise<RunResult> {
  const { prompt, chat, ...settings } = checkSettings(runSettings, request);
  const { name, model, weightBytes, options, messages } = await openWriter(settings, progress);
  try {
    const value = await written(chat ? model.chat(messages([{ role: 'user', content: prompt }]), options(signal)) : model.write(prompt, options(signal)), onText);
    const speculation = await model.speculation();
    return { model: name, ...value, ...(speculation === undefined ? {} : { speculation }), bytes: { model: weightBytes, memory: model.bytes, cache: model.cacheBytes }, speed: speedOf(value) };
  } finally {
    model.dispose();
  }
}
