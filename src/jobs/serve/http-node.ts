/** What every answer of the endpoint has in common: who may ask, bodies with a limit, JSON, CORS. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { FewbitError } from '../../errors.ts';
import { parseJsonBytes, type Json } from '../../files/json.ts';
import { errorBody, RequestError } from './errors.ts';

export interface Access {
  /** The address is a loopback one; names of other hosts are then a page that was led here by its name server. */
  readonly loopback: boolean;
  /** Origin of pages that may read answers, or `*`. */
  readonly allowOrigin: string | undefined;
}

const loopbackNames = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;

/** Refuses other names of this host; gives the headers that let a page of the allowed origin read the answer. */
export function checkAccess({ headers }: IncomingMessage, { loopback, allowOrigin }: Access): Record<string, string> {
  if (loopback && !loopbackNames.test(headers.host ?? '')) throw new RequestError(403, 'only localhost is answered: start with --host for other names', { code: 'host_not_allowed' });
  if (allowOrigin === undefined || headers.origin === undefined || (allowOrigin !== '*' && allowOrigin !== headers.origin)) return {};
  return { 'access-control-allow-origin': allowOrigin, ...(allowOrigin === '*' ? {} : { vary: 'origin' }) };
}

/** What a page of the allowed origin is told before it asks. It may send whatever headers its client library adds: none of them means anything here. */
export const preflight = ({ headers }: IncomingMessage): Readonly<Record<string, string>> => {
  const wanted = headers['access-control-request-headers'] ?? '';
  const allowed = /^[\w, -]{1,2000}$/.test(wanted) ? wanted : 'content-type, authorization';
  return { 'access-control-allow-methods': 'GET, POST', 'access-control-allow-headers': allowed, 'access-control-max-age': '600' };
};

/** A JSON body of at most so many bytes. */
export async function readJson(request: IncomingMessage, limit: number): Promise<Json> {
  // Pages may send other types to any address without asking first.
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) throw new RequestError(415, 'the content type must be application/json');
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw new RequestError(415, 'the body must not be compressed');
  const tooLarge = (): RequestError => new RequestError(413, `the body is larger than ${limit} bytes`, { code: 'body_too_large' });
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    // The connection stays open after the limit, for the answer that tells it.
    for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      size += part.byteLength;
      if (size > limit) throw tooLarge();
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof RequestError ? error : new RequestError(400, 'the body ended early');
  }
  try {
    return parseJsonBytes(Buffer.concat(parts), 'the body', { maxBytes: limit, maxDepth: 64, maxValues: 400_000 });
  } catch (error) {
    if (error instanceof FewbitError) throw new RequestError(400, error.message, { code: 'invalid_json' });
    throw error;
  }
}

export function sendJson(response: ServerResponse, status: number, body: object, headers: Readonly<Record<string, string>> = {}): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, { ...headers, 'content-type': 'application/json; charset=utf-8', 'content-length': bytes.byteLength, 'x-content-type-options': 'nosniff' });
  response.end(bytes);
}

export function sendError(response: ServerResponse, error: RequestError, headers: Readonly<Record<string, string>> = {}): void {
  if (response.destroyed) return;
  // What was not read of a body would otherwise be taken for the next request.
  const unread: Record<string, string> = error.status === 413 || error.status === 415 ? { connection: 'close' } : {};
  const later: Record<string, string> = error.status === 503 ? { 'retry-after': '1' } : {};
  sendJson(response, error.status, errorBody(error), { ...headers, ...unread, ...later });
}

/** Server-sent events. */
export function eventStream(response: ServerResponse, headers: Readonly<Record<string, string>>): { send(data: object | '[DONE]'): void; end(): void } {
  response.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' });
  return {
    // Never waits for a slow reader: what a context can hold is small, and others wait for their turn.
    send: (data) => { response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`); },
    end: () => { response.end(); },
  };
}
