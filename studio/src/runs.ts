/**
 * Runs in the origin's private file system, one folder each, named by what its bytes depend on: the model's files, the
 * request, and the build of this page. Who works in a folder, or shows what lies in it, holds a lock of its name, so that
 * other tabs leave it alone. A page that was reloaded finds what was interrupted, and what was finished and not saved.
 */
import { opfsStore } from '../../src/jobs/opfs-store.ts';
import type { Given, MadeFile, Request } from './protocol.ts';

/** Where the model came from, as far as that can be kept: dropped files must be given again. */
export type Origin = { readonly kind: 'files'; readonly names: readonly string[] } | Exclude<Given, { kind: 'files' }>;

export interface Run {
  readonly id: string;
  readonly model: string;
  readonly origin: Origin;
  /** Of the model's files. */
  readonly fingerprint: string;
  readonly request: Request;
  /** Milliseconds since 1970. */
  readonly started: number;
  /** Paths of the files, once all are made. */
  readonly made?: readonly string[];
}

const lockName = (id: string): string => `fewbit-run-${id}`;

/** The private file system; undefined where the browser has none, or not for this page. */
async function home(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle('runs', { create: true });
  } catch {
    return undefined;
  }
}

const hex = (bytes: ArrayBuffer): string => [...new Uint8Array(bytes, 0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/** 128 bits of SHA-256; undefined where a page may not use it (it came without https from elsewhere). */
export const digestOf = async (bytes: Uint8Array): Promise<string | undefined> => (globalThis.crypto?.subtle === undefined ? undefined : hex(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)));

const folderOf = async (id: string, create = false): Promise<FileSystemDirectoryHandle | undefined> => (await home())?.getDirectoryHandle(id, { create });

async function write(folder: FileSystemDirectoryHandle, run: Run): Promise<void> {
  const file = await (await folder.getFileHandle('run.json', { create: true })).createWritable();
  await file.write(JSON.stringify(run));
  await file.close();
}

/** Held by this worker. */
const own = new Set<string>();

/** The folder of a run for this worker alone, until it ends; undefined where there is no such file system, or another tab works in it. */
export async function holdRun(run: Run): Promise<{ readonly folder: FileSystemDirectoryHandle; readonly existed: boolean } | undefined> {
  if (navigator.locks === undefined) return undefined;
  const held = own.has(run.id) || await new Promise<boolean>((resolve) => {
    void navigator.locks.request(lockName(run.id), { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    });
  });
  if (!held) return undefined;
  own.add(run.id);
  const folder = await folderOf(run.id, true);
  if (folder === undefined) return undefined;
  const existed = await folder.getFileHandle('run.json').then(() => true, () => false);
  await write(folder, run);
  return { folder, existed };
}

export const finishRun = async (run: Run, made: readonly string[]): Promise<void> => write((await folderOf(run.id))!, { ...run, made });

export async function dropRun(id: string): Promise<void> {
  await (await home())?.removeEntry(id, { recursive: true }).catch((error: DOMException) => { if (error.name !== 'NotFoundError') throw error; });
}

/** Runs that no tab holds, the newest first. */
export async function leftRuns(): Promise<Run[]> {
  const folder = await home();
  if (folder === undefined) return [];
  const held = new Set((await navigator.locks.query()).held?.map(({ name }) => name));
  const found: Run[] = [];
  for await (const id of (folder as FileSystemDirectoryHandle & { keys(): AsyncIterable<string> }).keys()) {
    if (held.has(lockName(id))) continue;
    try {
      const file = await (await (await folder.getDirectoryHandle(id)).getFileHandle('run.json')).getFile();
      found.push(JSON.parse(await file.text()) as Run);
    } catch {
      // Nothing says what it was: it was cut short before it began.
      await dropRun(id);
    }
  }
  return found.sort((a, b) => b.started - a.started);
}

/** Files of a finished run, by reference: none is read before it is saved. */
export async function filesOf({ id, made = [] }: Run): Promise<MadeFile[]> {
  const { read } = opfsStore((await folderOf(id))!);
  return Promise.all(made.map(async (path) => ({ path, blob: await read(path) })));
}
