/** One file of an HTTP server: ranges of its bytes, tried again where a failure may pass, all of one version of the file. */
import { defineErrors } from '../errors.ts';

export interface UrlOptions {
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Largest file that is read whole from a server without range requests; default 100 MiB, of which there are two while it is joined. */
  readonly maxWholeBytes?: number;
  /** Bytes fetched at least, and kept; default 1 MiB: most headers of models in one request. */
  readonly blockBytes?: number;
  /** Tries for the same bytes before giving up; default 5. */
  readonly attempts?: number;
  /** Wait before the second try, doubled for each further one; default 250. */
  readonly backoffMs?: number;
  /** Silence after which a connection counts as broken, or a trickle that is no better; default 30 000. */
  readonly silenceMs?: number;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch;
}

export const urlDefaults = { maxWholeBytes: 100 * 1024 * 1024, blockBytes: 1024 * 1024, attempts: 5, backoffMs: 250, silenceMs: 30_000 };
/** A wait that a server asks for is honoured up to here. */
const longestWaitMs = 10_000;
/** Bytes that must come within `silenceMs` unless the body ends: 2 kB/s by default. A server that trickles could hold us for days. */
const leastBytes = 64 * 1024;
const passing = new Set([408, 425, 429, 500, 502, 503, 504]);

export const httpErrors = defineErrors('http', {
  url: (f: { url: string }) => [`${f.url}: not an http(s) URL without user name and password`, 'send credentials as a header'],
  outside: (f: { url: string; name: string }) => `${f.url}: name ${f.name} leads elsewhere`,
  notFound: (f: { url: string; status: number }) => `${f.url}: not found (status ${f.status})`,
  page: (f: { url: string }) => [`${f.url}: not found: the server sends a page in its place`, 'check the address; some servers answer every path that they do not know with their first page'],
  denied: (f: { url: string; status: number }) => `${f.url}: access denied (status ${f.status})`,
  redirects: (f: { url: string }) => `${f.url}: the server sends from one place to the next without end`,
  status: (f: { url: string; status: number }) => `${f.url}: the server answered with status ${f.status}`,
  unreachable: (f: { url: string; reason: string; attempts: number }) => `${f.url}: failed ${f.attempts} times: ${f.reason}`,
  noRanges: (f: { url: string; limit: number }) => [
    `${f.url}: the server sends no ranges, and the file is larger than the ${f.limit} bytes that are read whole`,
    'download the file first',
  ],
  noSize: (f: { url: string }) => [`${f.url}: the server does not say how large the file is`, 'download the file first'],
  encoded: (f: { url: string; encoding: string }) => `${f.url}: the server sends ranges of a ${f.encoding} encoding, not of the file`,
  badRange: (f: { url: string; asked: string; got: string }) => `${f.url}: asked for bytes ${f.asked}, the server sent ${f.got}`,
  changed: (f: { url: string; what: string }) => [`${f.url}: the file changed while being read (${f.what})`, 'start again'],
  range: (f: { url: string; begin: number; end: number; size: number }) => `${f.url}: bytes [${f.begin}, ${f.end}) lie outside its ${f.size} bytes`,
});

/** What tells one version of a file from another. */
export interface Version { readonly size: number; readonly etag: string | null; readonly modified: string | null }

/** A failure that another try may cure. */
class Passing extends Error {
  readonly waitMs: number;
  constructor(reason: string, waitMs = 0) { super(reason); this.waitMs = waitMs; }
}

/** Told of every byte that comes. */
type Alive = (bytes: number) => void;

export interface Connection {
  /** The first bytes of the file, or all of it where the server sends no ranges. */
  first(bytes: number, maxWholeBytes: number): Promise<{ readonly version: Version; readonly bytes: Uint8Array }>;
  range(begin: number, end: number, version: Version): Promise<Uint8Array>;
}

export function connect(target: URL, url: string, options: UrlOptions): Connection {
  const { attempts, backoffMs, silenceMs } = { ...urlDefaults, ...options };
  const send = options.fetch ?? fetch;

  /** One exchange: `use` sees the response; silence for too long breaks it off. */
  const exchange = async <T>(init: RequestInit, use: (response: Response, alive: Alive) => Promise<T>): Promise<T> => {
    const abort = new AbortController();
    let came = 0;
    const silent = (): void => abort.abort(new Passing(came === 0 ? `nothing came for ${silenceMs / 1000} s` : `${came} bytes came in ${silenceMs / 1000} s`));
    let timer = setTimeout(silent, silenceMs);
    const alive = (bytes: number): void => {
      came += bytes;
      if (came < leastBytes) return;
      came = 0;
      clearTimeout(timer);
      timer = setTimeout(silent, silenceMs);
    };
    try {
      // Ranges of a compressed form would be of no use. Browsers choose the encoding themselves and ignore this.
      const headers = { 'accept-encoding': 'identity', ...options.headers, ...(init.headers as Record<string, string> | undefined) };
      const response = await send(target, { ...init, headers, signal: abort.signal, cache: 'no-store' });
      try {
        if (passing.has(response.status)) throw new Passing(`status ${response.status}`, waitOf(response));
        if (response.status === 404 || response.status === 410) throw httpErrors.notFound({ url, status: response.status });
        if (response.status === 401 || response.status === 403) throw httpErrors.denied({ url, status: response.status });
        return await use(response, alive);
      } finally {
        if (!response.bodyUsed) await response.body?.cancel().catch(() => {});
      }
    } catch (error) {
      if ((error as Error).name === 'FewbitError' || error instanceof Passing) throw error;
      // Everything else is the network's: fetch says only "fetch failed" and keeps the reason in `cause`.
      const reason = abort.signal.reason instanceof Passing ? abort.signal.reason : ((error as Error).cause ?? error) as Error & { code?: string };
      if (/redirect count exceeded/.test(String(reason.message))) throw httpErrors.redirects({ url });
      throw new Passing(String((reason as { code?: string }).code ?? reason.message ?? reason).split('\n')[0].slice(0, 100));
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  };

  /** Tries again what may pass; `progress` tells how far the tries came, and a block more starts the count anew. */
  const persist = async <T>(attempt: () => Promise<T>, progress: () => number = () => 0): Promise<T> => {
    let reached = progress();
    for (let failed = 1; ; failed++) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof Passing)) throw error;
        if (progress() >= reached + urlDefaults.blockBytes) { reached = progress(); failed = 1; }
        if (failed >= attempts) throw httpErrors.unreachable({ url, reason: error.message, attempts: failed });
        await new Promise((resolve) => setTimeout(resolve, Math.min(longestWaitMs, Math.max(error.waitMs, backoffMs * 2 ** (failed - 1)))));
      }
    }
  };

  return {
    first: (bytes, maxWholeBytes) => persist(() => exchange({ headers: { range: `bytes=0-${bytes - 1}` } }, async (response, alive) => {
      if (response.status === 416) return { version: { ...versionOf(response), size: 0 }, bytes: new Uint8Array(0) };
      if (response.status === 206) {
        refuseEncoding(response, url);
        const size = contentRange(response)?.size ?? await sizeByHead();
        if (!Number.isSafeInteger(size)) throw httpErrors.noSize({ url });
        const expected = Math.min(bytes, size);
        const out = new Uint8Array(expected);
        const given = contentRange(response);
        if (given !== undefined && (given.begin !== 0 || given.end !== expected)) throw httpErrors.badRange({ url, asked: `[0, ${expected})`, got: `[${given.begin}, ${given.end})` });
        const got = await drain(response, alive, (chunk, at) => { out.set(chunk.subarray(0, expected - at), at); return at + chunk.byteLength < expected; });
        if (got < expected) throw new Passing(`${got} of ${expected} bytes came`);
        refusePage(response, out, url);
        return { version: { ...versionOf(response), size }, bytes: out };
      }
      if (response.status !== 200) throw httpErrors.status({ url, status: response.status });
      const announced = Number(response.headers.get('content-length') ?? Number.NaN);
      if (announced > maxWholeBytes) throw httpErrors.noRanges({ url, limit: maxWholeBytes });
      const chunks: Uint8Array[] = [];
      const got = await drain(response, alive, (chunk, at) => { chunks.push(chunk); return at + chunk.byteLength <= maxWholeBytes; });
      if (got > maxWholeBytes) throw httpErrors.noRanges({ url, limit: maxWholeBytes });
      // The length is that of the encoded form where there is an encoding.
      if (got < announced && !isEncoded(response)) throw new Passing(`${got} of ${announced} bytes came`);
      const whole = joined(chunks, got);
      refusePage(response, whole, url);
      return { version: { ...versionOf(response), size: got }, bytes: whole };
    })),

    range: async (begin, end, version) => {
      const out = new Uint8Array(end - begin);
      let at = begin;
      await persist(() => exchange({ headers: { range: `bytes=${at}-${end - 1}` } }, async (response, alive) => {
        if (response.status === 416) throw httpErrors.changed({ url, what: 'it is shorter' });
        if (response.status !== 206 && response.status !== 200) throw httpErrors.status({ url, status: response.status });
        refuseEncoding(response, url);
        const now = versionOf(response);
        if (version.etag !== null && now.etag !== null && now.etag !== version.etag) throw httpErrors.changed({ url, what: `ETag ${version.etag} to ${now.etag}`.slice(0, 100) });
        if ((version.etag === null || now.etag === null) && version.modified !== null && now.modified !== null && now.modified !== version.modified) {
          throw httpErrors.changed({ url, what: `from ${version.modified} to ${now.modified}`.slice(0, 100) });
        }
        if (response.status === 200) throw httpErrors.badRange({ url, asked: `[${at}, ${end})`, got: 'the whole file' });
        const given = contentRange(response);
        if (given !== undefined && given.size !== undefined && given.size !== version.size) throw httpErrors.changed({ url, what: `${version.size} bytes to ${given.size}` });
        if (given !== undefined && (given.begin !== at || given.end > end)) throw httpErrors.badRange({ url, asked: `[${at}, ${end})`, got: `[${given.begin}, ${given.end})` });
        await drain(response, alive, (chunk) => {
          const part = chunk.subarray(0, end - at);
          out.set(part, at - begin);
          at += part.byteLength;
          return at < end;
        });
        if (at < end) throw new Passing(`${at - begin} of ${end - begin} bytes came`);
      }), () => at);
      return out;
    },
  };

  /** Browsers hide Content-Range of other sites unless the server allows it; Content-Length is always shown. */
  function sizeByHead(): Promise<number> {
    return exchange({ method: 'HEAD' }, async (response) => {
      const length = response.headers.get('content-length');
      return response.ok && length !== null && !isEncoded(response) ? Number(length) : Number.NaN;
    });
  }
}

const versionOf = (response: Response) => ({ etag: response.headers.get('etag'), modified: response.headers.get('last-modified') });

const isEncoded = (response: Response): boolean => (response.headers.get('content-encoding') ?? 'identity') !== 'identity';

function refuseEncoding(response: Response, url: string): void {
  if (isEncoded(response)) throw httpErrors.encoded({ url, encoding: response.headers.get('content-encoding')!.slice(0, 40) });
}

/** Servers of single-page applications answer with their page, and status 200, for every file that is not there. No model's file is one. */
function refusePage(response: Response, bytes: Uint8Array, url: string): void {
  if (/^text\/html\b/i.test(response.headers.get('content-type') ?? '') && /^\ufeff?\s*<(!doctype|!--|html)/i.test(new TextDecoder().decode(bytes.subarray(0, 200)))) throw httpErrors.page({ url });
}

function waitOf(response: Response): number {
  const seconds = Number(response.headers.get('retry-after') ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
}

/** `bytes 0-99/1234`; the size is undefined where the server writes `*`. */
function contentRange(response: Response): { begin: number; end: number; size: number | undefined } | undefined {
  const match = /^bytes ([0-9]{1,16})-([0-9]{1,16})\/([0-9]{1,16}|\*)$/.exec(response.headers.get('content-range') ?? '');
  if (match === null) return undefined;
  return { begin: Number(match[1]), end: Number(match[2]) + 1, size: match[3] === '*' ? undefined : Number(match[3]) };
}

/** Hands on the chunks of a body with the position of each, until `take` wants no more; gives the bytes that came. */
async function drain(response: Response, alive: Alive, take: (chunk: Uint8Array, at: number) => boolean): Promise<number> {
  let at = 0;
  const reader = response.body?.getReader();
  if (reader === undefined) return 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return at;
    alive(value.byteLength);
    const more = take(value, at);
    at += value.byteLength;
    if (!more) { await reader.cancel().catch(() => {}); return at; }
  }
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const out = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) { out.set(chunk, at); at += chunk.byteLength; }
  return out;
}
