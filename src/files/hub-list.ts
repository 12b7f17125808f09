/** What the Hugging Face hub holds of a repository: its commit and its files; and those files as a folder that is read by ranges. */
import type { ListFileEntry } from '@huggingface/hub';
import { hubErrors as errors, isSafeName, neededFiles, parseHubId, type HubId } from './hub.ts';
import { openUrl, type UrlOptions } from './http.ts';
import type { ByteSource, Folder } from './source.ts';

export interface HubAccess {
  /** Without a slash at its end. */
  readonly hubUrl: string;
  readonly accessToken: string | undefined;
  readonly fetch: typeof fetch;
}

/** No published model comes near. */
const maxFiles = 20_000;
/** A page of the list of files has about 500 kB. */
const maxAnswerBytes = 16 * 1024 * 1024;
/** Pages have a thousand files each; those of a few would take more, and those of none never end. */
const maxPages = 200;

/** The commit that a revision names now, and the files of it. */
export async function listHub({ id, repo, revision }: HubId, access: HubAccess): Promise<{ readonly sha: string; readonly entries: ReadonlyMap<string, ListFileEntry> }> {
  // Taken lazily: an error about a local file must not wait for it.
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const { sha } = await asked(id, () => modelInfo({ name: repo, revision: revision ?? 'main', additionalFields: ['sha'], ...access }));
  if (!/^[0-9a-f]{40}$/.test(sha)) throw errors.answer({ id, reason: 'no commit' });
  const entries = new Map<string, ListFileEntry>();
  await asked(id, async () => {
    let pages = 0;
    const turning: typeof fetch = (input, init) => {
      if (++pages > maxPages) throw errors.answer({ id, reason: `more than ${maxPages} pages of files` });
      return access.fetch(input, init);
    };
    for await (const entry of listFiles({ repo, revision: sha, recursive: true, ...access, fetch: turning })) {
      if (entry.type !== 'file' || typeof entry.path !== 'string') continue;
      if (entries.size >= maxFiles) throw errors.tooMany({ id, limit: maxFiles });
      entries.set(entry.path, entry);
    }
  });
  return { sha, entries };
}

/** What is needed of `hf:owner/name[@revision][/file]` as a folder whose files are read by range requests, all of one commit. */
export async function openHub(model: string, hubUrl: string): Promise<Folder> {
  const hub = parseHubId(model);
  const base = hubUrl.replace(/\/+$/, '');
  const { sha, entries } = await listHub(hub, { hubUrl: base, accessToken: undefined, fetch: patientFetch() });
  const wanted = neededFiles(hub, [...entries.keys()].sort());
  const opened = new Map<string, Promise<ByteSource>>();
  return {
    name: hub.repo.slice(hub.repo.indexOf('/') + 1),
    list: async () => wanted,
    has: async (file) => entries.has(file),
    async open(file) {
      const entry = entries.get(file);
      if (entry === undefined || !isSafeName(file)) throw errors.noFile({ id: hub.id, file });
      const source = opened.get(file) ?? openUrl(`${base}/${hub.repo}/resolve/${sha}/${file.split('/').map(encodeURIComponent).join('/')}`);
      opened.set(file, source);
      source.catch(() => opened.delete(file));
      const { size } = await source;
      if (size !== entry.size) throw errors.size({ id: hub.id, file, expected: entry.size, got: size });
      return source;
    },
  };
}

/** A `fetch` for the small requests: tries again when the network fails or the server is busy. */
export function patientFetch(network: Pick<UrlOptions, 'attempts' | 'backoffMs' | 'silenceMs'> = {}): typeof fetch {
  const { attempts = 5, backoffMs = 250, silenceMs = 30_000 } = network;
  return async (input, init) => {
    for (let failed = 1; ; failed++) {
      const response = await fetch(input, { ...init, signal: AbortSignal.timeout(silenceMs) }).catch((error: unknown) => {
        if (failed >= attempts) throw error;
        return undefined;
      });
      if (response !== undefined && (failed >= attempts || !(response.status === 429 || response.status >= 500))) return bounded(response);
      await response?.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, Math.min(10_000, backoffMs * 2 ** (failed - 1))));
    }
  };
}

/** The same answer, broken off where it becomes longer than any answer of the hub. */
function bounded(response: Response): Response {
  if (response.body === null) return response;
  let came = 0;
  const counted = response.body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      came += chunk.byteLength;
      if (came > maxAnswerBytes) controller.error(new Error(`more than ${maxAnswerBytes} bytes`));
      else controller.enqueue(chunk);
    },
  }));
  const { status, statusText, headers, url } = response;
  // The address after redirects is of interest to the library, and cannot be given to the constructor.
  return Object.defineProperty(new Response(counted, { status, statusText, headers }), 'url', { value: url });
}

/** Runs a request to the hub and puts its failure into our words; `exists` when the model is known to be there. */
export async function asked<T>(id: string, request: () => Promise<T>, exists = false): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if ((error as Error).name === 'FewbitError') throw error;
    const status = (error as { statusCode?: number }).statusCode;
    // The hub does not tell strangers whether a private model exists: 401 means either.
    if (status === 404 || (status === 401 && !exists)) throw errors.notFound({ id });
    if (status === 401 || status === 403) throw errors.denied({ id, status });
    const { cause, name, message } = error as Error;
    const reason = (status === undefined ? String((cause as { code?: string } | undefined)?.code ?? message) : `status ${status}`).split('\n')[0].slice(0, 150);
    // A failed fetch keeps its reason in `cause`; what the library itself throws has none.
    throw cause !== undefined || name === 'TimeoutError' ? errors.unreachable({ id, reason }) : errors.answer({ id, reason });
  }
}
