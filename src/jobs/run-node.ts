/** Runs a language model on the low-bit engine: a prompt in, text out as it is written. */
import { z } from 'zod';
import { openFile } from '../files/fs-node.ts';
import { parseJsonBytes, type Json } from '../files/json.ts';
import { jsonConstraint } from '../runtime/constrain.ts';
import { cacheFormats } from '../runtime/kv-caches.ts';
import type { Generated } from '../runtime/generate.ts';
import { jsonSchema } from '../runtime/json-schema.ts';
import type { SpeculationReport } from '../runtime/speculation-report.ts';
import { silentProgress, type Progress } from './progress.ts';
import { checkSettings } from './settings.ts';
import { draftSettings, openText } from './text-model-node.ts';

const runSettings = z.strictObject({
  model: z.string().min(1),
  prompt: z.string().min(1),
  /** The prompt is a message, put into the model's chat template. */
  chat: z.boolean().default(false),
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

export async function run(request: RunRequest, { onText, progress = silentProgress, signal }: { onText?(text: string): void; readonly progress?: Progress; readonly signal?: AbortSignal } = {}): Promise<RunResult> {
  const { model: location, prompt, chat, system, weights, cache, context, threads, draft, draftTokens, draftTree, tokenizer, jsonSchema: schema, ...options } = checkSettings(runSettings, request);
  const shape = schema === undefined ? undefined : jsonSchema(typeof schema === 'string' ? await readSchema(schema) : schema);
  const { name, model, weightBytes } = await openText(location, { weights, context, cache, threads, draft, draftTokens, draftTree, tokenizer, progress });
  try {
    const given = { ...options, ...(shape === undefined ? {} : { constraint: jsonConstraint(model.tokenizer, shape) }), ...(signal === undefined ? {} : { signal }) };
    const pieces = chat ? model.chat([...(system === undefined ? [] : [{ role: 'system', content: system }]), { role: 'user', content: prompt }], given) : model.write(prompt, given);
    for (;;) {
      const next = await pieces.next();
      if (next.done !== true) {
        onText?.(next.value);
        continue;
      }
      const { value } = next;
      const speculation = await model.speculation();
      return {
        model: name, ...value, ...(speculation === undefined ? {} : { speculation }), bytes: { model: weightBytes, memory: model.bytes, cache: model.cacheBytes },
        speed: { prompt: value.promptTokens / value.seconds.prompt, decode: Math.max(0, value.ids.length - 1) / value.seconds.decode },
      };
    }
  } finally {
    model.dispose();
  }
}
