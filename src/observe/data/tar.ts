/** Files of a tar archive (ustar, with GNU long names), as data sets of many small images are handed around. */
import { defineErrors } from '../../errors.ts';

export interface TarFile { readonly name: string; readonly bytes: Uint8Array }

const errors = defineErrors('tar', {
  broken: (f: { name: string; at: number }) => `${f.name}: broken tar archive (entry at byte ${f.at})`,
});

const blockBytes = 512;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes.subarray(0, bytes.includes(0) ? bytes.indexOf(0) : undefined));

/** The regular files in their order; the bytes are views of the archive. */
export function readTar(archive: Uint8Array, name: string): TarFile[] {
  const files: TarFile[] = [];
  let longName: string | undefined;
  for (let at = 0; at + blockBytes <= archive.length;) {
    const header = archive.subarray(at, at + blockBytes);
    if (header.every((byte) => byte === 0)) break;
    const size = Number.parseInt(text(header.subarray(124, 136)).trim(), 8);
    if (!Number.isSafeInteger(size) || size < 0 || at + blockBytes + size > archive.length) throw errors.broken({ name, at });
    const bytes = archive.subarray(at + blockBytes, at + blockBytes + size);
    const kind = String.fromCharCode(header[156]);
    if (kind === 'L') longName = text(bytes);
    else {
      const prefix = text(header.subarray(345, 500));
      const own = text(header.subarray(0, 100));
      if (kind === '0' || kind === '\0') files.push({ name: longName ?? (prefix === '' ? own : `${prefix}/${own}`), bytes });
      longName = undefined;
    }
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
  }
  return files;
}
