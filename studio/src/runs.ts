/**
 * Runs in the origin's private file system, one folder each, named by what its bytes depend on: the model's files, the
 * request, the sample inputs, and the build of this page. Who works in a folder, or shows what lies in it, holds a lock of its name, so that
 * other tabs leave it alone. A page that was reloaded finds what was interrupted, and what was finished and not saved.
 */
import { opfsStore } from '../../src/jobs/opfs-store.ts';
import type { FileRef, Given, MadeFile, Request } from './protocol.ts';

/** Where files came from, as far as that can be kept: those that were dropped or chosen must be given again. */
export type Origin = { readonly kind: 'files'; readonly names: readonly string[] } | Exclude<Given, { kind: 'files' }>;

export interface Run {
  readonly id: string;
  readonly model: string;
  readonly origin: Origin;
  /** Of the model's files. */
  readonly fingerprint: string;
  readonly request: Request;
  /** The sample inputs that calibrate, where there are any: where they came from, and the digest of their content. */
  readonly data?: { readonly origin: Origin; readonly digest: string };
  /** Milliseconds since 1970. */
  readonly started: number;
  /** Paths of the files, once all are made. */
  readonly made?: readonly string[];
}

const lockName = (id: string): string => `fewbit-run-${id}`;

/** A folder of the private file system; undefined where the browser has none, or not for this page. */
export async function privateFolder(name: 'runs' | 'measured'): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
  } catch {
    return undefined;
  }
}

const hex = (bytes: ArrayBuffer): string => [...new Uint8Array(bytes, 0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export const originOf = (files: readonly FileRef[]): Origin =>
  (files.every(({ example }) => example === true) ? { kind: 'example', paths: files.map(({ name }) => name) } : { kind: 'files', names: files.map(({ name }) => name) });

/** 128 bits of SHA-256; undefined where a page may not use it (it came without https from elsewhere). */
export const digestOf = async (bytes: Uint8Array): Promise<string | undefined> => (globalThis.crypto?.subtle === undefined ? undefined : hex(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)));

/** Of names and contents. */
export async function digestOfFiles(files: readonly FileRef[]): Promise<string | undefined> {
  const parts: string[] = [];
  for (const { name, blob } of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) parts.push(`${name} ${await digestOf(new Uint8Array(await blob.arrayBuffer()))}`);
  return digestOf(new TextEncoder().encode(parts.join('\n')));
}

const folderOf = async (id: string, create = false): Promise<FileSystemDirectoryHandle | undefined> => (await privateFolder('runs'))?.getDirectoryHandle(id, { create });

async function write(folder: FileSystemDirectoryHandle, run: Run): Promise<void> {
  const file = await (await folder.getFileHandle('run.json', { create: true })).createWritable();
  await file.write(JSON.stringify(run));
  await file.close();
}

/** How long the folder of a run is waited for. */
const patienceMs = 2000;

/** Held by this worker. */
const own = new Set<string>();

/** The folder of a run for this worker alone, until it ends; undefined where there is no such file system, or another tab works in it. */
export async function holdRun(run: Run): Promise<{ readonly folder: FileSystemDirectoryHandle; readonly existed: boolean } | undefined> {
  if (navigator.locks === undefined) return undefined;
  // A worker that was ended gives its locks up a moment later.
  const held = own.has(run.id) || await new Promise<boolean>((resolve) => {
    navigator.locks.request(lockName(run.id), { signal: AbortSignal.timeout(patienceMs) }, () => {
      resolve(true);
      return new Promise(() => {});
    }).catch(() => resolve(false));
  });
  if (!held) return undefined;
  own.add(run.id);
  const folder = await folderOf(run.id, true);
  if (folder === undefined) return undefined;
  const existed = await folder.getFileHandle('run.json').then(() => true, () => false);
  await write(folder, run);
  return { folder, existed };
}

export async function finishRun(run: Run, made: readonly string[]): Promise<Run> {
  const finished = { ...run, made };
  await write((await folderOf(run.id))!, finished);
  return finished;
}

export async function dropRun(id: string): Promise<void> {
  await (await privateFolder('runs'))?.removeEntry(id, { recursive: true }).catch((error: DOMException) => { if (error.name !== 'NotFoundError') throw error; });
}

/** Runs that no tab holds, the newest first. */
export async function leftRuns(): Promise<Run[]> {
  const folder = await privateFolder('runs');
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
