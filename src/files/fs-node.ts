/** Files and folders of the local disk as sources, sinks and folders. */
import { constants, type Stats } from 'node:fs';
import { mkdir, open, readdir, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { defineErrors } from '../errors.ts';
import type { ByteSink, ByteSource, Folder } from './source.ts';

const errors = defineErrors('fs', {
  notFound: (f: { path: string }) => `${f.path}: not found`,
  directory: (f: { path: string }) => [`${f.path}: is a directory, not a file`, 'name a file in it'] as const,
  notDirectory: (f: { path: string }) => `${f.path}: is not a directory`,
  notFile: (f: { path: string }) => `${f.path}: is not a regular file`,
  denied: (f: { path: string }) => `${f.path}: permission denied`,
  full: (f: { path: string }) => `${f.path}: no space left on the device`,
  large: (f: { path: string }) => `${f.path}: larger than the file system allows`,
  system: (f: { path: string; code: string }) => `${f.path}: ${f.code}`,
  range: (f: { path: string; begin: number; end: number; size: number }) =>
    `${f.path}: bytes [${f.begin}, ${f.end}) lie outside its ${f.size} bytes`,
  shrank: (f: { path: string; at: number }) => `${f.path}: ended at byte ${f.at} while being read`,
  outside: (f: { folder: string; name: string }) => `${f.folder}: name ${JSON.stringify(f.name)} leaves the folder`,
  linked: (f: { path: string; links: number }) => [`${f.path}: is one file under ${f.links} names, and another may lie elsewhere`, 'replace the hard link by a copy'] as const,
  swapped: (f: { path: string }) => `${f.path}: was replaced while being opened`,
  closed: (f: { path: string }) => `${f.path}: written to after commit or abort`,
});

function worded(error: unknown, path: string): Error {
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string' || (error as Error).name === 'FewbitError') return error as Error;
  switch (code) {
    case 'ENOENT': return errors.notFound({ path });
    case 'EISDIR': return errors.directory({ path });
    case 'ENOTDIR': return errors.notDirectory({ path });
    case 'EACCES': case 'EPERM': return errors.denied({ path });
    case 'ENOSPC': case 'EDQUOT': return errors.full({ path });
    case 'EFBIG': return errors.large({ path });
    default: return errors.system({ path, code });
  }
}

/** Runs an action on a path of the disk; failures of the system come out in our words. */
export async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try { return await action(); } catch (error) { throw worded(error, path); }
}

/** A regular file, read by position; the caller closes it. Refuses directories, pipes and devices. */
export function openFile(path: string): Promise<ByteSource> {
  return openChecked(path, 0, async () => {});
}

/** `check` sees what was opened, not what lay there a moment before. */
async function openChecked(path: string, flags: number, check: (info: Stats) => Promise<void>): Promise<ByteSource> {
  // Without O_NONBLOCK, opening a pipe would wait for a writer before it can be refused.
  const handle = await attempt(path, () => open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | flags));
  const info = await handle.stat();
  try {
    if (!info.isFile()) throw info.isDirectory() ? errors.directory({ path }) : errors.notFile({ path });
    await check(info);
  } catch (error) {
    await handle.close();
    throw error;
  }
  const size = info.size;
  return {
    name: path,
    size,
    read: async (begin, end) => {
      if (!(begin >= 0 && begin <= end && end <= size)) throw errors.range({ path, begin, end, size });
      const bytes = new Uint8Array(end - begin);
      let at = 0;
      while (at < bytes.byteLength) {
        const { bytesRead } = await attempt(path, () => handle.read(bytes, at, bytes.byteLength - at, begin + at));
        if (bytesRead === 0) throw errors.shrank({ path, at: begin + at });
        at += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

/** Where the hub's own clients keep files: a snapshot is a folder of links into the `blobs` beside it. */
const hubSnapshot = /^(.*[\\/]models--[^\\/]+[\\/])snapshots[\\/][^\\/]+(?:[\\/].*)?$/;

/**
 * A folder of the disk; names use `/`, and neither they nor symbolic links lead outside it (of a snapshot in the cache of the
 * hub's clients: outside of the files of that model).
 */
export async function openFolder(path: string): Promise<Folder> {
  const root = await attempt(path, () => realpath(path));
  if (!(await stat(root)).isDirectory()) throw errors.notDirectory({ path });
  const blobs = hubSnapshot.exec(root)?.[1];
  const allowed = [root.endsWith(sep) ? root : root + sep, ...(blobs === undefined ? [] : [`${blobs}blobs${sep}`])];
  const isInside = (real: string): boolean => allowed.some((folder) => real.startsWith(folder));
  const locate = async (file: string): Promise<string> => {
    const parts = file.split('/');
    if (parts.some((part) => part === '' || part === '.' || part === '..') || /[\\\0]/.test(file) || /^[a-z]:/i.test(file)) {
      throw errors.outside({ folder: path, name: file });
    }
    const real = await attempt(join(path, file), () => realpath(join(root, ...parts)));
    if (!isInside(real)) throw errors.outside({ folder: path, name: file });
    return real;
  };
  return {
    name: path,
    list: () => attempt(path, async () => {
      const names: string[] = [];
      const walk = async (folder: string, prefix: string): Promise<void> => {
        for (const entry of await readdir(folder, { withFileTypes: true })) {
          const name = prefix + entry.name;
          if (entry.isDirectory()) await walk(join(folder, entry.name), `${name}/`);
          else if (entry.isFile()) names.push(name);
          else if (entry.isSymbolicLink()) {
            const real = await realpath(join(folder, entry.name)).catch(() => '');
            if (isInside(real) && (await stat(real)).isFile()) names.push(name);
          }
        }
      };
      await walk(root, '');
      return names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    }),
    has: async (file) => {
      try {
        return (await stat(await locate(file))).isFile();
      } catch (error) {
        const code = (error as { code?: string }).code;
        if (code === 'fs.notFound' || code === 'fs.notDirectory') return false;
        throw error;
      }
    },
    open: async (file, { alone = false } = {}) => {
      const real = await locate(file);
      return openChecked(real, constants.O_NOFOLLOW ?? 0, async (info) => {
        if (alone && info.nlink > 1) throw errors.linked({ path: real, links: info.nlink });
        // A folder on the way may have become a link since the name was resolved.
        const now = await stat(await locate(file));
        if (now.ino !== info.ino || now.dev !== info.dev) throw errors.swapped({ path: real });
      });
    },
  };
}

let sinks = 0;

/** Writes to a temporary file beside `path`; `commit` syncs it and renames it, so readers see all or nothing. */
export async function fileSink(path: string): Promise<ByteSink> {
  const folder = dirname(resolve(path));
  await attempt(folder, () => mkdir(folder, { recursive: true }));
  if (await stat(path).then((info) => info.isDirectory(), () => false)) throw errors.directory({ path });
  const temporary = join(folder, `.${basename(path)}.${process.pid}.${sinks++}.part`);
  const handle = await attempt(path, () => open(temporary, 'wx'));
  let written = 0;
  let open_ = true;
  const drop = async (): Promise<void> => {
    if (!open_) return;
    open_ = false;
    await handle.close();
    await unlink(temporary).catch(() => {});
  };
  return {
    get written() { return written; },
    write: async (bytes) => {
      if (!open_) throw errors.closed({ path });
      let at = 0;
      while (at < bytes.byteLength) {
        at += (await attempt(path, () => handle.write(bytes, at, bytes.byteLength - at))).bytesWritten;
      }
      written += bytes.byteLength;
    },
    commit: async () => {
      if (!open_) throw errors.closed({ path });
      try {
        await attempt(path, async () => {
          await handle.sync();
          await rename(temporary, path);
        });
      } catch (error) {
        await drop();
        throw error;
      }
      open_ = false;
      await handle.close();
      await syncFolder(folder);
    },
    abort: drop,
  };
}

/** Makes the rename durable, where the system lets a directory be synced (Windows does not). */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await attempt(folder, () => open(folder, 'r'));
  try { await attempt(folder, () => handle.sync()); } finally { await handle.close(); }
}

/** Writes a whole file at once: the old content or the new one, never a mixture. Text becomes UTF-8. */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const sink = await fileSink(path);
  try {
    await sink.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
