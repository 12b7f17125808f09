/** Models of the Hugging Face hub, downloaded to a local folder: resumed where it stopped, checked before it is used. */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, realpath, rename, unlink, type FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import type { ListFileEntry } from '@huggingface/hub';
import { attempt } from './fs-node.ts';
import { hubErrors as errors, isSafeName, neededFiles, parseHubId, type HubId } from './hub.ts';
import { openUrl, type UrlOptions } from './http.ts';

export interface DownloadOptions {
  /** Default: `FEWBIT_CACHE`, else `fewbit` in the cache folder of the user. Nothing is written outside of it. */
  readonly cacheFolder?: string;
  /** Which files of the repository to take, instead of those that `neededFiles` picks. */
  readonly files?: (path: string) => boolean;
  /** Bytes so far and in all, files of earlier runs included; and the file in work. */
  readonly onProgress?: (done: number, total: number, file: string) => void;
  /** Default: `HF_TOKEN`. */
  readonly token?: string;
  /** Default: `HF_ENDPOINT`, else the public hub. */
  readonly hubUrl?: string;
  /** Patience with the network. */
  readonly network?: Pick<UrlOptions, 'attempts' | 'backoffMs' | 'silenceMs'>;
}

/** No published model comes near. */
const maxFiles = 20_000;
/** A page of the list of files has about 500 kB. */
const maxAnswerBytes = 16 * 1024 * 1024;
/** Pages have a thousand files each; those of a few would take more, and those of none never end. */
const maxPages = 200;
/** Bytes per request: a lost one costs little, and its memory is small beside any model. */
const pieceBytes = 16 * 1024 * 1024;

/**
 * Downloads what is needed of `hf:owner/name[@revision]` and gives the local folder; of `hf:owner/name/path/file.gguf`, the
 * local path of that file. Files are bound to the commit that the revision names now, and kept once their size and checksum
 * are those that the hub tells; a run that was interrupted goes on where it stopped.
 */
export async function downloadModel(model: string, options: DownloadOptions = {}): Promise<string> {
  const hub = parseHubId(model);
  const { id, repo } = hub;
  const hubUrl = (options.hubUrl ?? process.env['HF_ENDPOINT'] ?? 'https://huggingface.co').replace(/\/+$/, '');
  const accessToken = options.token ?? (process.env['HF_TOKEN'] || undefined);
  if (accessToken !== undefined && !accessToken.startsWith('hf_')) throw errors.token({ variable: options.token === undefined ? 'HF_TOKEN' : 'the token' });
  // Taken lazily: an error about a local file must not wait for it.
  const { fileDownloadInfo, listFiles, modelInfo } = await import('@huggingface/hub');
  const access = { hubUrl, accessToken, fetch: patientFetch(options.network) };

  const { sha } = await asked(id, () => modelInfo({ name: repo, revision: hub.revision ?? 'main', additionalFields: ['sha'], ...access }));
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
  const all = [...entries.keys()].sort();
  const wanted = options.files === undefined ? neededFiles(hub, all) : all.filter(options.files);
  for (const file of wanted) if (!isSafeName(file)) throw errors.name({ id, file: JSON.stringify(file.slice(0, 100)) });

  const folder = join(options.cacheFolder ?? defaultCache(), 'hub', ...storedAs(repo, sha));
  await attempt(folder, () => mkdir(folder, { recursive: true }));
  const root = await realpath(folder);
  const total = wanted.reduce((sum, file) => sum + sizeOf(id, entries.get(file)!), 0);
  let before = 0;
  for (const file of wanted) {
    const entry = entries.get(file)!;
    const base = before;
    const onBytes = (done: number): void => options.onProgress?.(base + done, total, file);
    const path = await placeOf(hub, root, file);
    if (!(await isComplete(path, entry.size))) {
      const info = await asked(id, () => fileDownloadInfo({ repo, path: file, revision: sha, ...access }), true);
      if (info === null) throw errors.noFile({ id, file });
      if (info.size !== entry.size) throw errors.size({ id, file, expected: entry.size, got: info.size });
      // The token is for the hub, not for the stores that it sends us to.
      const own = accessToken !== undefined && new URL(info.url).origin === new URL(hubUrl).origin;
      await fetchFile(hub, entry, path, info.url, { ...options.network, headers: own ? { authorization: `Bearer ${accessToken}` } : {} }, onBytes);
    }
    onBytes(entry.size);
    before += entry.size;
  }
  return hub.file === undefined ? folder : join(folder, ...hub.file.split('/'));
}

function defaultCache(): string {
  const { FEWBIT_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (FEWBIT_CACHE) return FEWBIT_CACHE;
  return join((process.platform === 'win32' ? LOCALAPPDATA : XDG_CACHE_HOME) || join(homedir(), '.cache'), 'fewbit');
}

/** The name comes last, because folders give models their names. */
const storedAs = (repo: string, sha: string): string[] => {
  const [owner, name] = repo.split('/');
  return [owner, sha, name];
};

function sizeOf(id: string, { size, path }: ListFileEntry): number {
  if (!Number.isSafeInteger(size) || size < 0) throw errors.answer({ id, reason: `size ${String(size)} of ${path}`.slice(0, 150) });
  return size;
}

/** Where a file goes; its folders exist afterwards, and no link among them leads elsewhere. */
async function placeOf({ id }: HubId, root: string, file: string): Promise<string> {
  const path = join(root, ...file.split('/'));
  const parent = dirname(path);
  await attempt(parent, () => mkdir(parent, { recursive: true }));
  const real = await realpath(parent);
  if (real !== root && !real.startsWith(root + sep)) throw errors.name({ id, file: JSON.stringify(file.slice(0, 100)) });
  return path;
}

const isComplete = async (path: string, size: number): Promise<boolean> =>
  lstat(path).then((info) => info.isFile() && info.size === size, () => false);

/** Downloads one file beside its place, and moves it there once it is whole and right. */
async function fetchFile(hub: HubId, entry: ListFileEntry, path: string, url: string, network: UrlOptions, onBytes: (done: number) => void): Promise<void> {
  const { id } = hub;
  const { path: file, size } = entry;
  const part = `${path}.part`;
  // A link under this name would be written through.
  const handle = await attempt(part, () => open(part, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0), 0o644));
  let damaged = false;
  try {
    const { digest, expected } = digestOf(entry);
    const info = await handle.stat();
    let at = info.isFile() && info.size <= size ? info.size : 0;
    if (at < info.size) await handle.truncate(0);
    await hashStored(handle, digest, at);
    onBytes(at);
    if (at < size) {
      const source = await openUrl(url, { ...network, blockBytes: 256 * 1024 });
      try {
        if (source.size !== size) throw errors.size({ id, file, expected: size, got: source.size });
        let next = source.read(at, Math.min(size, at + pieceBytes));
        while (at < size) {
          const bytes = await next;
          const begin = at;
          at += bytes.byteLength;
          // The next piece travels while this one is written.
          if (at < size) { next = source.read(at, Math.min(size, at + pieceBytes)); next.catch(() => {}); }
          digest.update(bytes);
          for (let put = 0; put < bytes.byteLength;) {
            put += (await attempt(part, () => handle.write(bytes, put, bytes.byteLength - put, begin + put))).bytesWritten;
          }
          onBytes(at);
        }
      } finally {
        await source.close();
      }
    }
    damaged = expected !== undefined && digest.digest('hex') !== expected;
    if (!damaged) await attempt(part, () => handle.sync());
  } finally {
    await handle.close();
  }
  if (damaged) {
    await unlink(part);
    throw errors.digest({ id, file });
  }
  await attempt(path, () => rename(part, path));
}

/** Large files carry their SHA-256; the others the object id of git: SHA-1 of a short header and the content. */
function digestOf({ lfs, oid, size }: ListFileEntry): { digest: Hash; expected: string | undefined } {
  if (lfs !== undefined && /^[0-9a-f]{64}$/.test(lfs.oid)) return { digest: createHash('sha256'), expected: lfs.oid };
  const digest = createHash('sha1').update(`blob ${size}\0`);
  return { digest, expected: lfs === undefined && oid !== undefined && /^[0-9a-f]{40}$/.test(oid) ? oid : undefined };
}

async function hashStored(handle: FileHandle, digest: Hash, end: number): Promise<void> {
  const buffer = new Uint8Array(1024 * 1024);
  for (let at = 0; at < end;) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.byteLength, end - at), at);
    if (bytesRead === 0) break;
    digest.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

/** A `fetch` for the small requests: tries again when the network fails or the server is busy. */
function patientFetch(network: DownloadOptions['network'] = {}): typeof fetch {
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
async function asked<T>(id: string, request: () => Promise<T>, exists = false): Promise<T> {
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
