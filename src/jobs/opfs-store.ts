/**
 * Output of a page that survives a reload: files lie in a folder of the origin's private file system, and beside each, while
 * it grows, a journal of how far it is whole (`<file>.journal`: the end of every unit, a line each). A run that begins again
 * in the same folder keeps those bytes; who gives the folder sees to it that inputs and settings are the same. Works in a
 * worker alone, where files of that system can be written in place.
 */
import type { ByteSink } from '../files/source.ts';
import type { Written } from './target.ts';
import { UnitCursor } from './unit-cursor.ts';
import type { WebStore } from './web-store.ts';

/** What workers have, and the types of pages do not name. */
interface SyncFile {
  getSize(): number;
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}
type SyncHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncFile> };

/** A worker that was ended keeps its files for a moment. */
const patience = { attempts: 40, waitMs: 50 };

export function opfsStore(folder: FileSystemDirectoryHandle): WebStore {
  const read = async (path: string): Promise<Blob> => (await handleOf(folder, path, false)).getFile();
  const small = async (path: string): Promise<Uint8Array | undefined> => {
    try {
      return new Uint8Array(await (await read(path)).arrayBuffer());
    } catch (error) {
      if ((error as DOMException).name === 'NotFoundError') return undefined;
      throw error;
    }
  };
  const put = async (path: string, bytes: Uint8Array): Promise<void> => {
    const file = await openSync(folder, path);
    try {
      file.truncate(0);
      writeAll(file, bytes, 0);
      file.flush();
    } finally {
      file.close();
    }
  };
  return {
    read,
    open: (path) => journaledSink(folder, path),
    share: async (path, content) => put(path, content(await small(path))),
    async finished(file) {
      const record = await small(`${file}.finished`);
      if (record === undefined) return undefined;
      try {
        return JSON.parse(new TextDecoder().decode(record)) as Written;
      } catch {
        // Cut short by the interruption: the output is made again.
        return undefined;
      }
    },
    async record(file, written) {
      await put(`${file}.finished`, new TextEncoder().encode(JSON.stringify(written)));
      for (const path of written.files) await remove(folder, `${path}.journal`);
    },
  };
}

async function journaledSink(folder: FileSystemDirectoryHandle, path: string): Promise<ByteSink> {
  const journalPath = `${path}.journal`;
  const journal = await openSync(folder, journalPath);
  const file = await openSync(folder, path);
  const lines = new Uint8Array(journal.getSize());
  journal.read(lines, { at: 0 });
  let { kept, journalBytes } = wholeUnits(new TextDecoder('latin1').decode(lines), file.getSize());
  file.truncate(kept);
  journal.truncate(journalBytes);
  const cursor = new UnitCursor(kept);
  let done = false;
  const close = (): void => {
    done = true;
    file.close();
    journal.close();
  };
  return {
    get written() { return cursor.position; },
    resume: (byteLength) => cursor.resume(byteLength),
    async write(bytes) {
      const skip = cursor.skip(bytes.byteLength);
      writeAll(file, bytes.subarray(skip), cursor.position + skip);
      if (cursor.advance(bytes.byteLength)) journalBytes += writeAll(journal, new TextEncoder().encode(`${cursor.position}\n`), journalBytes);
    },
    async commit() {
      if (done) return;
      file.truncate(cursor.position);
      file.flush();
      close();
    },
    async abort() {
      if (done) return;
      close();
      await remove(folder, path);
      await remove(folder, journalPath);
    },
  };
}

/** The units that a journal lists and the file holds; what follows the first line that makes no sense is not believed. */
function wholeUnits(journal: string, fileBytes: number): { kept: number; journalBytes: number } {
  let kept = 0;
  let journalBytes = 0;
  // The last line may have been cut: it ends without a line feed then.
  for (const line of journal.split('\n').slice(0, -1)) {
    const end = /^\d{1,15}$/.test(line) ? Number(line) : -1;
    if (end < kept || end > fileBytes) break;
    kept = end;
    journalBytes += line.length + 1;
  }
  return { kept, journalBytes };
}

function writeAll(file: SyncFile, bytes: Uint8Array, at: number): number {
  for (let put = 0; put < bytes.byteLength;) put += file.write(bytes.subarray(put), { at: at + put });
  return bytes.byteLength;
}

/** The folder that holds a path, and the last part of the path. */
async function placeOf(folder: FileSystemDirectoryHandle, path: string, create: boolean): Promise<[FileSystemDirectoryHandle, string]> {
  const parts = path.split('/');
  let at = folder;
  for (const part of parts.slice(0, -1)) at = await at.getDirectoryHandle(part, { create });
  return [at, parts.at(-1)!];
}

async function handleOf(folder: FileSystemDirectoryHandle, path: string, create: boolean): Promise<FileSystemFileHandle> {
  const [at, name] = await placeOf(folder, path, create);
  return at.getFileHandle(name, { create });
}

async function openSync(folder: FileSystemDirectoryHandle, path: string): Promise<SyncFile> {
  const handle = await handleOf(folder, path, true) as SyncHandle;
  for (let attempt = 1; ; attempt++) {
    try {
      return await handle.createSyncAccessHandle();
    } catch (error) {
      if ((error as DOMException).name !== 'NoModificationAllowedError' || attempt === patience.attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, patience.waitMs));
    }
  }
}

async function remove(folder: FileSystemDirectoryHandle, path: string): Promise<void> {
  const [at, name] = await placeOf(folder, path, true);
  await at.removeEntry(name).catch((error: DOMException) => { if (error.name !== 'NotFoundError') throw error; });
}
