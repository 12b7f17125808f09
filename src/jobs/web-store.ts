/** Where the files of a run in a page go: held as Blobs here, or in the origin's private file system (`opfs-store.ts`). */
import type { ByteSink } from '../files/source.ts';
import type { Written } from './target.ts';

export interface WebStore {
  /** A sink for a file of the output, by its path. */
  open(path: string): Promise<ByteSink>;
  /** Puts a small file that outputs share; `content` sees what lies there. */
  share(path: string, content: (present: Uint8Array | undefined) => Uint8Array): Promise<void>;
  /** An output as an earlier run has left it, by its main file, when there is nothing more to make. */
  finished(file: string): Promise<Written | undefined>;
  /** All files of the output are in place. */
  record(file: string, written: Written): Promise<void>;
  /** A file that was committed or shared. */
  read(path: string): Promise<Blob>;
}

/** Keeps files as Blobs, and nothing of them once the page is gone. */
export function blobStore(): WebStore {
  const made = new Map<string, Blob>();
  return {
    open: async (path) => blobSink((blob) => made.set(path, blob)),
    async share(path, content) {
      const present = made.get(path);
      made.set(path, new Blob([content(present === undefined ? undefined : new Uint8Array(await present.arrayBuffer())).slice()]));
    },
    finished: async () => undefined,
    record: async () => {},
    read: async (path) => made.get(path)!,
  };
}

/** Bytes that a sink holds before it hands them to the browser, which may keep Blobs on disk. */
const heldBytes = 32 * 1024 * 1024;

/** A sink whose bytes become a Blob when it is committed. */
function blobSink(commit: (blob: Blob) => void): ByteSink {
  let parts: BlobPart[] = [];
  let held = 0;
  let written = 0;
  return {
    get written() { return written; },
    write: async (bytes) => {
      parts.push(bytes.slice());
      held += bytes.byteLength;
      written += bytes.byteLength;
      if (held < heldBytes) return;
      parts = [new Blob(parts)];
      held = 0;
    },
    commit: async () => commit(new Blob(parts)),
    abort: async () => { parts = []; },
  };
}
