/** The endpoint: which paths there are, and what each does with a model. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { limits } from '../../models/config-values.ts';
import type { Message } from '../../runtime/chat.ts';
import { jsonConstraint } from '../../runtime/constrain.ts';
import type { TextModel } from '../../runtime/text-model.ts';
import { listen } from '../listen-node.ts';
import { partOfAnswer, tokenChance, usagePart, wholeAnswer, type AnswerHead, type Choice, type TokenChance } from './answers.ts';
import { chatRequest, completionRequest, type TextRequest } from './bodies.ts';
import { errorBody, RequestError, requestError } from './errors.ts';
import { checkAccess, eventStream, preflight, readJson, sendError, sendJson, type Access } from './http-node.ts';
import { Turns } from './turns.ts';

export interface EndpointOptions {
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  readonly allowOrigin?: string;
  /** Requests that are answered at the same time. */
  readonly parallel: number;
  /** Requests that may wait meanwhile. */
  readonly maxWaiting: number;
  readonly maxBodyBytes: number;
  /** Told of every request that was answered. */
  onAnswer?(line: string): void;
}

export interface Endpoint {
  readonly url: string;
  readonly port: number;
  /** Takes no more requests, sends those away that wait, and ends when the one that runs has; at once with `now`. */
  close(options?: { readonly now?: boolean }): Promise<void>;
}

/** Tokens of an answer that its request does not limit, where no context does: models with a state never run out of room. */
const longestAnswer = 4096;
const isBounded = ({ decoder }: TextModel): boolean => decoder.context < limits.positions;

/** Seconds for a request's headers and body to arrive; answers take as long as they take. */
const arrival = { headers: 10, request: 30, idle: 10 };

export async function openEndpoint(name: string, model: TextModel, options: EndpointOptions): Promise<Endpoint> {
  const access: Access = { loopback: isLoopback(options.host), allowOrigin: options.allowOrigin };
  const turns = new Turns(options.maxWaiting, options.parallel);
  const running = new Set<AbortController>();
  const started = Math.floor(Date.now() / 1000);
  /** Connections, and those with a request: clients keep others for later, or open them before they need them. */
  const connections = new Set<Socket>();
  const busy = new Set<Socket>();
  let closing = false;
  const listed = { id: name, object: 'model', created: started, owned_by: 'fewbit', ...(isBounded(model) ? { context_length: model.decoder.context } : {}) };

  async function answerText(request: IncomingMessage, response: ServerResponse, headers: Record<string, string>, read: (body: unknown) => TextRequest): Promise<void> {
    const wanted = read(await readJson(request, options.maxBodyBytes));
    const prompts = wanted.prompts.map((prompt) => promptTokens(model, wanted.kind, prompt));
    const abort = new AbortController();
    running.add(abort);
    // The client went away.
    response.on('close', () => abort.abort());
    try {
      await turns.take(() => write(model, name, wanted, prompts, abort.signal, response, headers, options.onAnswer), abort.signal);
    } finally {
      running.delete(abort);
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse, headers: Record<string, string>): Promise<void> {
    if (closing) throw new RequestError(503, 'the server is stopping', { code: 'stopping' });
    const path = (request.url ?? '/').replace(/[?#].*$/, '');
    const route: Record<string, readonly [method: string, act: () => void | Promise<void>]> = {
      '/health': ['GET', () => sendJson(response, 200, { status: 'ok', model: name, waiting: turns.waiting }, headers)],
      '/v1/models': ['GET', () => sendJson(response, 200, { object: 'list', data: [listed] }, headers)],
      [`/v1/models/${encodeURIComponent(name)}`]: ['GET', () => sendJson(response, 200, listed, headers)],
      '/v1/chat/completions': ['POST', () => answerText(request, response, headers, chatRequest)],
      '/v1/completions': ['POST', () => answerText(request, response, headers, completionRequest)],
    };
    if (/^\/v1\/models\/./.test(path) && !Object.hasOwn(route, path)) throw new RequestError(404, `no such model (there is: ${name})`, { code: 'model_not_found' });
    if (!Object.hasOwn(route, path)) throw new RequestError(404, `no such path (there are: ${Object.keys(route).join(', ')})`, { code: 'not_found' });
    const [method, act] = route[path];
    const allow = method === 'GET' ? 'GET, HEAD, OPTIONS' : `${method}, OPTIONS`;
    if (request.method === 'OPTIONS') return void response.writeHead(204, { ...headers, allow, ...(headers['access-control-allow-origin'] === undefined ? {} : preflight(request)) }).end();
    // Node leaves the body of an answer to HEAD out.
    if (request.method !== method && !(request.method === 'HEAD' && method === 'GET')) throw new RequestError(405, `${path} takes ${method}`, { code: 'method_not_allowed' });
    await act();
  }

  const server = createServer({ headersTimeout: 1000 * arrival.headers, requestTimeout: 1000 * arrival.request, keepAliveTimeout: 1000 * arrival.idle }, (request, response) => {
    let headers: Record<string, string> = {};
    busy.add(request.socket);
    response.on('close', () => {
      busy.delete(request.socket);
      if (closing) request.socket.end();
    });
    (async () => {
      headers = checkAccess(request, access);
      await answer(request, response, headers);
    })().catch((error: unknown) => {
      const known = requestError(error);
      if (known.status === 500) options.onAnswer?.(error instanceof Error ? (error.stack ?? error.message) : String(error));
      if (response.headersSent) response.destroy();
      else sendError(response, known, headers);
    });
  });
  server.on('connection', (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n{"error":{"message":"not an HTTP request","type":"invalid_request_error","param":null,"code":null}}');
  });
  return {
    ...await listen(server, options.host, options.port),
    async close({ now = false } = {}) {
      closing = true;
      turns.clear(new RequestError(503, 'the server is stopping', { code: 'stopping' }));
      if (now) for (const abort of running) abort.abort();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of connections) if (now || !busy.has(socket)) socket.destroy();
      });
    },
  };
}

export const isLoopback = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|::1)$/i.test(host);

function promptTokens(model: TextModel, kind: TextRequest['kind'], prompt: TextRequest['prompts'][number]): readonly number[] {
  const tokens = kind === 'chat' ? model.encodeChat(prompt as readonly Message[]) : typeof prompt === 'string' ? model.encode(prompt) : prompt as readonly number[];
  const { context } = model.decoder;
  if (tokens.length === 0) throw new RequestError(400, 'the prompt has no tokens', { param: 'prompt' });
  if (tokens.length >= context) throw new RequestError(400, `the prompt has ${tokens.length} tokens, the context holds ${context}, an answer included`, { code: 'context_length_exceeded' });
  return tokens;
}

/** Writes one answer, streamed or whole: its texts one after another. */
async function write(
  model: TextModel, name: string, request: TextRequest, prompts: readonly (readonly number[])[], signal: AbortSignal,
  response: ServerResponse, headers: Record<string, string>, onAnswer: EndpointOptions['onAnswer'],
): Promise<void> {
  const { kind, choices: each, stream, includeUsage } = request;
  const head: AnswerHead = { id: `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: name };
  const written: Choice[] = [];
  let events: ReturnType<typeof eventStream> | undefined;
  try {
    for (const prompt of prompts) {
      for (let choice = 0; choice < each; choice++) {
        const index = written.length;
        const texts = writeChoice(model, request, prompt, choice, signal);
        let next = await texts.next();
        // Not before the first token is there: what is wrong with a prompt has a status of its own.
        if (stream) events ??= eventStream(response, headers);
        if (kind === 'chat') events?.send(partOfAnswer(kind, head, { index, role: 'assistant', text: '' }));
        for (; next.done !== true; next = await texts.next()) events?.send(partOfAnswer(kind, head, { index, ...next.value }));
        const { result, rest } = next.value;
        onAnswer?.(`${kind} ${result.promptTokens} tokens (${result.cachedTokens} held), ${result.ids.length} written (${result.end}), ${(result.seconds.prompt + result.seconds.decode).toFixed(2)} s`);
        if (result.end === 'cancelled') return void response.destroy();
        events?.send(partOfAnswer(kind, head, { index, end: result.end, ...rest }));
        written.push(next.value);
      }
    }
  } catch (error) {
    if (events === undefined) throw error;
    events.send(errorBody(requestError(error)));
    return events.end();
  }
  if (events === undefined) return sendJson(response, 200, wholeAnswer(kind, head, written, each), headers);
  if (includeUsage) events.send(usagePart(kind, head, written, each));
  events.send('[DONE]');
  events.end();
}

/** Tokens whose chances were not told yet, and the length of the text before them. */
interface Fresh { readonly chances?: readonly TokenChance[]; readonly offset: number }

/** One text of an answer, piece by piece; texts of one prompt are drawn with seeds that follow one another. */
async function *writeChoice(model: TextModel, { options, shape, logprobs }: TextRequest, prompt: readonly number[], choice: number, signal: AbortSignal): AsyncGenerator<Fresh & { readonly text: string }, Choice & { readonly rest: Fresh }> {
  const all: TokenChance[] = [];
  const onToken = logprobs === undefined ? undefined : (id: number, logits: Float32Array): void => { all.push(tokenChance(model.tokenizer, id, logits, logprobs)); };
  const constraint = shape === undefined ? {} : { constraint: jsonConstraint(model.tokenizer, shape) };
  const maxTokens = options.maxTokens === Infinity && !isBounded(model) ? longestAnswer : options.maxTokens;
  const { seed = 0 } = options;
  const pieces = model.generate(prompt, { ...options, maxTokens, seed: Number.isSafeInteger(seed + choice) ? seed + choice : seed - choice, ...constraint, signal, ...(onToken === undefined ? {} : { onToken }) });
  /** Tokens told so far, and the length of their text. */
  let [told, offset] = [0, 0];
  const fresh = (): Fresh => {
    const part = { ...(logprobs === undefined ? {} : { chances: all.slice(told) }), offset };
    for (; told < all.length; told++) offset += all[told].token.length;
    return part;
  };
  let next = await pieces.next();
  for (; next.done !== true; next = await pieces.next()) yield { text: next.value, ...fresh() };
  return { result: next.value, chances: logprobs === undefined ? undefined : all, rest: fresh() };
}
