/** Serves the browser app: static files with the headers that let pages share memory between threads. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineErrors } from '../errors.ts';
import { listen } from './listen-node.ts';

const errors = defineErrors('studio', {
  notBuilt: (f: { folder: string }) => [`the Studio is not built: ${f.folder} is missing`, 'in a clone of the repository: npm run build:studio'] as const,
  port: (f: { port: number; reason: string }) => [`port ${f.port} cannot be used: ${f.reason}`, 'choose another with --port, 0 for any'] as const,
});

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.mjs': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.wasm': 'application/wasm', '.json': 'application/json; charset=utf-8', '.svg': 'image/svg+xml', '.xml': 'application/atom+xml; charset=utf-8', '.txt': 'text/plain; charset=utf-8',
};

/** Together they make a page cross-origin isolated. */
const isolationHeaders = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Resource-Policy': 'same-origin' };

/** The app as it was built, beside the compiled sources. */
export const studioFolder = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../dist/studio' : '../studio', import.meta.url));

export interface StudioServer { readonly url: string; close(): Promise<void> }

export interface StudioServeOptions {
  /** The built app. */
  readonly folder: string;
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  /** Sends the headers that let pages share memory between threads, as any host of static files may leave out. */
  readonly isolated: boolean;
}

export async function serveStudio({ folder = studioFolder, host = '127.0.0.1', port = 4174, isolated = true }: Partial<StudioServeOptions> = {}): Promise<StudioServer> {
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw errors.port({ port, reason: 'ports are whole numbers from 0 to 65535' });
  if (!existsSync(join(folder, 'index.html'))) throw errors.notBuilt({ folder });
  const server = createServer((request, response) => {
    const headers = { ...(isolated ? isolationHeaders : {}), 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'no-cache' };
    const refuse = (status: number, text: string): void => { response.writeHead(status, { ...headers, 'Content-Type': 'text/plain; charset=utf-8' }).end(text); };
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'only GET');
    let path: string;
    try {
      path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    } catch {
      return refuse(400, 'not an address');
    }
    const file = normalize(join(folder, path.endsWith('/') ? `${path}index.html` : path));
    const inside = file.startsWith(folder.endsWith(sep) ? folder : folder + sep) && !file.includes('\0');
    if (!inside || !existsSync(file) || !statSync(file).isFile()) return refuse(404, 'not found');
    response.writeHead(200, { ...headers, 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Length': statSync(file).size });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file).pipe(response);
  });
  const { url } = await listen(server, host, port).catch((error: Error) => { throw errors.port({ port, reason: error.message }); });
  return {
    url: `${url}/`,
    close: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    }),
  };
}
