/**
 * Files behind http(s) URLs as sources: ranges are asked for when they are read, small reads share cached blocks.
 * Uses `fetch` alone, so that it works in browsers too.
 */
import { connect, httpErrors as errors, urlDefaults, type UrlOptions } from './http-connection.ts';
import type { ByteSource, Folder } from './source.ts';

export type { UrlOptions } from './http-connection.ts';

/** Blocks kept: enough that a header and its neighbourhood stay, small beside a model. */
const keptBlocks = 16;

/**
 * Opens a file behind a URL. The first request learns its size and brings its first block; broken connections and
 * busy servers are tried again, from the byte that was reached. A file that changes between two reads is an error.
 */
export async function openUrl(url: string, options: UrlOptions = {}): Promise<ByteSource> {
  const target = checkedUrl(url);
  const name = nameOf(target);
  const { maxWholeBytes, blockBytes } = { ...urlDefaults, ...options };
  const connection = connect(target, name, options);
  const first = await connection.first(blockBytes, maxWholeBytes);
  const { size } = first.version;
  // A server without ranges sent everything at once; there is nothing left to ask for.
  const whole = first.bytes.byteLength === size ? first.bytes : undefined;
  const blocks = new Map<number, Promise<Uint8Array>>();
  if (whole === undefined) blocks.set(0, Promise.resolve(first.bytes));

  const blockEnd = (block: number): number => Math.min((block + 1) * blockBytes, size);
  /** Blocks [from, to), those that are missing in as few requests as possible. */
  const fill = (from: number, to: number): Promise<Uint8Array>[] => {
    for (let block = from; block < to; block++) {
      if (blocks.has(block)) continue;
      let stop = block + 1;
      while (stop < to && !blocks.has(stop)) stop++;
      const base = block * blockBytes;
      const bytes = connection.range(base, blockEnd(stop - 1), first.version);
      for (let at = block; at < stop; at++) {
        // Copied, so that one kept block does not hold its neighbours.
        const part = bytes.then((all) => all.slice(at * blockBytes - base, blockEnd(at) - base));
        part.catch(() => blocks.delete(at));
        blocks.set(at, part);
      }
    }
    const wanted = Array.from({ length: to - from }, (_, i) => blocks.get(from + i)!);
    wanted.forEach((part, i) => { blocks.delete(from + i); blocks.set(from + i, part); });
    for (const oldest of blocks.keys()) { if (blocks.size <= keptBlocks) break; blocks.delete(oldest); }
    return wanted;
  };

  return {
    name,
    size,
    read: async (begin, end) => {
      if (!(begin >= 0 && begin <= end && end <= size)) throw errors.range({ url: name, begin, end, size });
      if (whole !== undefined) return whole.slice(begin, end);
      if (begin === end) return new Uint8Array(0);
      const from = Math.floor(begin / blockBytes);
      const to = Math.ceil(end / blockBytes);
      // Tensors pass by once; only headers and their like are read in small pieces, again and again.
      if (to - from > keptBlocks / 2) return connection.range(begin, end, first.version);
      const out = new Uint8Array(end - begin);
      const parts = await Promise.all(fill(from, to));
      parts.forEach((part, i) => {
        const base = (from + i) * blockBytes;
        out.set(part.subarray(Math.max(0, begin - base), Math.min(part.byteLength, end - base)), Math.max(0, base - begin));
      });
      return out;
    },
    close: async () => blocks.clear(),
  };
}

/** The files beside a URL, by name; servers do not list them, so `list` gives none. */
export function urlFolder(url: string, options: UrlOptions = {}): Folder {
  const base = checkedUrl(url);
  const locate = (file: string): string => {
    const parts = file.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..') || /[\\\0]/.test(file)) {
      throw errors.outside({ url: nameOf(base), name: JSON.stringify(file.slice(0, 100)) });
    }
    const target = new URL(parts.map(encodeURIComponent).join('/'), base);
    // Signed and versioned addresses carry their key in the query, and it holds for the folder.
    target.search = base.search;
    return target.href;
  };
  const opened = new Map<string, Promise<ByteSource>>();
  const open = async (file: string): Promise<ByteSource> => {
    const target = locate(file);
    const source = opened.get(file) ?? openUrl(target, options);
    opened.set(file, source);
    source.catch(() => opened.delete(file));
    return source;
  };
  return {
    name: nameOf(new URL('.', base)),
    list: async () => [],
    has: async (file) => open(file).then(() => true, (error: unknown) => {
      if (['http.notFound', 'http.page'].includes((error as { code: string }).code)) return false;
      throw error;
    }),
    open,
  };
}

function checkedUrl(url: string): URL {
  const target = URL.canParse(url) ? new URL(url) : undefined;
  if (target === undefined || !/^https?:$/.test(target.protocol) || target.username !== '' || target.password !== '') {
    throw errors.url({ url: JSON.stringify((target === undefined ? url : nameOf(target)).slice(0, 200)) });
  }
  return target;
}

/** For messages: without the query, which may hold a signature. */
function nameOf({ protocol, host, pathname }: URL): string {
  const name = `${protocol}//${host}${pathname}`;
  return name.length <= 200 ? name : `${name.slice(0, 100)}…${name.slice(-99)}`;
}
