/** A file server on the loopback device that can be told to misbehave. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Server {
  readonly url: string;
  /** Every request so far: method, path and range. */
  readonly log: string[];
  close(): Promise<void>;
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

export async function serve(handler: Handler): Promise<Server> {
  const log: string[] = [];
  const server = createServer((request, response) => {
    log.push(`${request.method} ${request.url} ${request.headers.range ?? ''}`.trim());
    void handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    log,
    close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(() => resolve()); }),
  };
}

/** Answers with a file as servers do, ranges included. `cut` ends the connection after so many bytes of the body. */
export function sendFile(
  request: IncomingMessage, response: ServerResponse, bytes: Uint8Array,
  options: { readonly etag?: string; readonly cut?: number; readonly ranges?: boolean } = {},
): void {
  const headers: Record<string, string> = options.etag === undefined ? {} : { etag: options.etag };
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  let body = bytes;
  if (options.ranges !== false && range !== null) {
    const begin = Number(range[1]);
    if (begin >= bytes.byteLength) { response.writeHead(416, { ...headers, 'content-range': `bytes */${bytes.byteLength}` }).end(); return; }
    const end = Math.min(Number(range[2]) + 1, bytes.byteLength);
    body = bytes.subarray(begin, end);
    response.writeHead(206, { ...headers, 'content-length': body.byteLength, 'content-range': `bytes ${begin}-${end - 1}/${bytes.byteLength}` });
  } else {
    response.writeHead(200, { ...headers, 'content-length': body.byteLength });
  }
  if (request.method === 'HEAD') { response.end(); return; }
  if (options.cut !== undefined && options.cut < body.byteLength) {
    response.write(body.subarray(0, options.cut), () => setTimeout(() => response.destroy(), 5));
  } else {
    response.end(body);
  }
}
