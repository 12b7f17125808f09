/** What runs measured, in a folder of the origin's private file system: figures, moments of inputs, layers that were rounded. */
import type { KeptFiles } from './measurements.ts';

/** Bytes that the folder may hold: beyond it the oldest files make room. */
const mostBytes = 2 ** 30;

type Listed = FileSystemDirectoryHandle & { values(): AsyncIterable<FileSystemHandle> };

/** The folder is named by who gives it; what fails is not kept, and counts as absent. */
export function opfsFiles(folder: FileSystemDirectoryHandle, most = mostBytes): KeptFiles {
  /** Bytes of the folder, as far as this page knows: listed when it first writes. */
  let held: number | undefined;
  return {
    large: true,
    async read(file) {
      try {
        return new Uint8Array(await (await (await folder.getFileHandle(file)).getFile()).arrayBuffer());
      } catch {
        return undefined;
      }
    },
    async write(file, bytes) {
      try {
        if (bytes.byteLength > most / 2) return;
        held = (held ?? await sizeOf(folder)) + bytes.byteLength;
        if (held > most) held = await makeRoom(folder, most - bytes.byteLength) + bytes.byteLength;
        // What was begun takes the place of the old file only when it is whole.
        const writable = await (await folder.getFileHandle(file, { create: true })).createWritable();
        await writable.write(bytes as Uint8Array<ArrayBuffer>);
        await writable.close();
      } catch {
        // A run does not fail for what would have made the next one faster.
      }
    },
  };
}

async function listed(folder: FileSystemDirectoryHandle): Promise<File[]> {
  const files: File[] = [];
  for await (const handle of (folder as Listed).values()) if (handle.kind === 'file') files.push(await (handle as FileSystemFileHandle).getFile());
  return files;
}

const sizeOf = async (folder: FileSystemDirectoryHandle): Promise<number> => (await listed(folder)).reduce((sum, { size }) => sum + size, 0);

/** Removes the oldest files until the others have at most so many bytes; gives how many they have. */
async function makeRoom(folder: FileSystemDirectoryHandle, most: number): Promise<number> {
  const files = (await listed(folder)).sort((a, b) => a.lastModified - b.lastModified);
  let bytes = files.reduce((sum, { size }) => sum + size, 0);
  for (const { name, size } of files) {
    if (bytes <= most) break;
    await folder.removeEntry(name);
    bytes -= size;
  }
  return bytes;
}
