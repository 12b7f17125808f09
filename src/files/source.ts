/**
 * Where bytes come from and go to. The core knows only these two interfaces; the file system,
 * HTTP and the browser's file objects implement them.
 */
import { defineErrors } from '../errors.ts';

const errors = defineErrors('source', {
  range: (f: { name: string; begin: number; end: number; size: number }) => `${f.name}: bytes [${f.begin}, ${f.end}) lie outside its ${f.size} bytes`,
});

/** Random access to bytes of known length. */
export interface ByteSource {
  /** A name for messages: path, URL or file name. */
  readonly name: string;
  readonly size: number;
  /** Exactly `end - begin` bytes; rejects when they are not there. */
  read(begin: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Sequential output. Nothing is visible under the final name before `commit`. */
export interface ByteSink {
  readonly written: number;
  /**
   * Announces a unit of `byteLength` bytes that comes next. True when an interrupted run already left these
   * very bytes: the writer then skips making them. Sinks without this method hold nothing from earlier runs.
   */
  resume?(byteLength: number): boolean;
  write(bytes: Uint8Array): Promise<void>;
  /** Flushes to stable storage and gives the output its final name. */
  commit(): Promise<void>;
  /** Drops everything that was written. Safe to call twice, and after `commit` it does nothing. */
  abort(): Promise<void>;
}

/** A folder of named sources, such as a Hugging Face model. Names use `/` and never leave the folder. */
export interface Folder {
  readonly name: string;
  list(): Promise<readonly string[]>;
  has(file: string): Promise<boolean>;
  /**
   * `alone` for names that a file of unknown origin chose: a file that also has a name elsewhere (a hard link) is refused,
   * where the system can tell.
   */
  open(file: string, options?: { readonly alone?: boolean }): Promise<ByteSource>;
}

/** A source over bytes in memory. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    read: async (begin, end) => {
      if (!(begin >= 0 && begin <= end && end <= bytes.byteLength)) throw errors.range({ name, begin, end, size: bytes.byteLength });
      // Always a copy: the slice of a Node Buffer would share its memory.
      return new Uint8Array(bytes.subarray(begin, end));
    },
    close: async () => {},
  };
}

/** A source over a Blob or File, for the browser. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    read: async (begin, end) => {
      if (!(begin >= 0 && begin <= end && end <= blob.size)) throw errors.range({ name, begin, end, size: blob.size });
      return new Uint8Array(await blob.slice(begin, end).arrayBuffer());
    },
    close: async () => {},
  };
}

/** A sink that keeps its bytes; `bytes()` after `commit` gives them joined. */
export function memorySink(): ByteSink & { bytes(): Uint8Array } {
  let chunks: Uint8Array[] = [];
  let written = 0;
  return {
    get written() { return written; },
    write: async (bytes) => { chunks.push(bytes.slice()); written += bytes.byteLength; },
    commit: async () => {},
    abort: async () => { chunks = []; written = 0; },
    bytes: () => {
      const joined = new Uint8Array(written);
      let at = 0;
      for (const chunk of chunks) { joined.set(chunk, at); at += chunk.byteLength; }
      return joined;
    },
  };
}
