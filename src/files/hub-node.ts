/** Models of the Hugging Face hub, downloaded to a local folder: resumed where it stopped, checked before it is used. */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, realpath, rename, unlink, type FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import type { ListFileEntry } from '@huggingface/hub';
import { attempt } from './fs-node.ts';
import { hubErrors as errors, isSafeName, neededFiles, parseHubId, type HubId } from './hub.ts';
import { asked, listHub, patientFetch } from './hub-list.ts';
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
  const access = { hubUrl, accessToken, fetch: patientFetch(options.network) };
  const { sha, entries } = await listHub(hub, access);
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
      const info = await asked(id, async () => (await import('@huggingface/hub')).fileDownloadInfo({ repo, path: file, revision: sha, ...access }), true);
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
