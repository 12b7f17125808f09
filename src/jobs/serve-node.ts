/** Serves a language model on this machine, in the shape that clients of chat-completion services expect. */
import { z } from 'zod';
import { defineErrors } from '../errors.ts';
import { cacheFormats } from '../runtime/kv-caches.ts';
import { silentProgress, type Progress } from './progress.ts';
import { isLoopback, openEndpoint, type Endpoint } from './serve/endpoint-node.ts';
import { checkSettings } from './settings.ts';
import { draftSettings, openText } from './text-model-node.ts';

const serveSettings = z.strictObject({
  model: z.string().min(1),
  /** Address to listen on; other machines reach only what is not a loopback address. */
  host: z.string().min(1).default('127.0.0.1'),
  /** 0 takes any that is free. */
  port: z.coerce.number().int().min(0).max(65_535).default(8080),
  context: z.coerce.number().int().positive().optional(),
  /** Block type that float weights take as they are loaded. */
  weights: z.string().optional(),
  /** How keys and values are held. */
  cache: z.enum(cacheFormats).default('float'),
  /** Origin of pages that may read answers, or `*`; none by default. */
  allowOrigin: z.string().regex(/^(\*|https?:\/\/[^/\s]+|null)$/, 'must look like https://example.org, or *').optional(),
  /** Requests that are answered at the same time, each with a cache of its own. */
  parallel: z.coerce.number().int().positive().max(64).default(1),
  maxWaiting: z.coerce.number().int().nonnegative().max(10_000).default(16),
  threads: z.coerce.number().int().positive().max(256).default(2),
  ...draftSettings,
  maxBodyBytes: z.coerce.number().int().positive().max(2 ** 28).default(1_000_000),
});
export type ServeRequest = z.input<typeof serveSettings>;

export interface Served extends Endpoint { readonly model: string; readonly loopback: boolean; readonly memoryBytes: number; readonly cacheBytes: number }

const errors = defineErrors('serve', {
  address: (f: { host: string; port: number; reason: string }) => [`cannot listen on ${f.host}, port ${f.port}: ${f.reason}`, 'choose another --port, or 0 for any that is free'],
});

const listenError = (error: unknown, host: string, port: number): unknown =>
  (error instanceof Error && 'code' in error && 'syscall' in error ? errors.address({ host, port, reason: String(error.code) }) : error);

export async function serve(request: ServeRequest, { progress = silentProgress, onAnswer }: { readonly progress?: Progress; onAnswer?(line: string): void } = {}): Promise<Served> {
  const { model: location, host, port, context, weights, cache, threads, parallel, draft, draftTokens, draftTree, tokenizer, allowOrigin, maxWaiting, maxBodyBytes } = checkSettings(serveSettings, request);
  const { name, model } = await openText(location, { weights, context, cache, threads, sequences: parallel, draft, draftTokens, draftTree, tokenizer, progress });
  try {
    const endpoint = await openEndpoint(name, model, { host, port, parallel, maxWaiting, maxBodyBytes, ...(allowOrigin === undefined ? {} : { allowOrigin }), ...(onAnswer === undefined ? {} : { onAnswer }) });
    return {
      ...endpoint, model: name, loopback: isLoopback(host), memoryBytes: model.bytes, cacheBytes: model.cacheBytes,
      async close(options) {
        await endpoint.close(options);
        model.dispose();
      },
    };
  } catch (error) {
    model.dispose();
    throw listenError(error, host, port);
  }
}
