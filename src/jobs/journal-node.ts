/**
 * Output that survives an interruption. Bytes go to `<file>.partial`; after each unit (a tensor) the
 * journal `<file>.journal` records how far the partial file is whole. A resumed run with the same
 * fingerprint keeps those bytes and goes on; the final name appears only through a rename.
 */
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { defineErrors } from '../errors.ts';
import type { ByteSink } from '../files/source.ts';

const errors = defineErrors('resume', {
  otherRun: (f: { file: string }) => [
    `${f.file}: the interrupted run had other inputs or settings`,
    'run again without --resume to start over',
  ],
  damaged: (f: { file: string; line: number }) => [
    `${f.file}: line ${f.line} of the journal is damaged`,
    'run again without --resume to start over',
  ],
  shorter: (f: { file: string; expected: number; found: number }) => [
    `${f.file}: the partial file has ${f.found} bytes, the journal says ${f.expected}`,
    'run again without --resume to start over',
  ],
  folder: (f: { folder: string; reason: string }) => [`${f.folder}: the folder cannot be made (${f.reason})`, 'choose another with -o'],
  exists: (f: { file: string }) => [`${f.file} exists already`, 'choose another folder with -o, or allow it with --overwrite'],
});

export interface JournalOptions {
  /** Identifies inputs, settings and version; a partial file made under another one is never continued. */
  readonly fingerprint: string;
  /** Go on with what an interrupted run left. */
  readonly resume: boolean;
  /** Replace a finished file of the same name. */
  readonly overwrite: boolean;
}

/** How far an interrupted run came: the end of its last whole unit, 0 when there is nothing to keep. */
async function wholeBytes(journalPath: string, partialPath: string, fingerprint: string): Promise<number> {
  if (!existsSync(journalPath) || !existsSync(partialPath)) return 0;
  const lines = (await readFile(journalPath, 'utf8')).split('\n');
  // The last line may have been cut by the interruption; it ends without a line feed then.
  lines.pop();
  let whole = 0;
  for (const [index, line] of lines.entries()) {
    let record: { fingerprint?: unknown; end?: unknown };
    try {
      record = JSON.parse(line) as typeof record;
    } catch {
      throw errors.damaged({ file: journalPath, line: index + 1 });
    }
    if (index === 0) {
      if (record.fingerprint !== fingerprint) throw errors.otherRun({ file: partialPath });
    } else if (typeof record.end === 'number' && record.end >= whole) {
      whole = record.end;
    } else {
      throw errors.damaged({ file: journalPath, line: index + 1 });
    }
  }
  return whole;
}

/** Opens `path` for journaled output; refuses a finished file of that name unless told to replace it. */
export async function journaledSink(path: string, options: JournalOptions): Promise<ByteSink> {
  if (existsSync(path) && !options.overwrite) throw errors.exists({ file: path });
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (error) {
    throw errors.folder({ folder: dirname(path), reason: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
  const partialPath = `${path}.partial`;
  const journalPath = `${path}.journal`;
  const kept = options.resume ? await wholeBytes(journalPath, partialPath, options.fingerprint) : 0;

  const file: FileHandle = await open(partialPath, kept > 0 ? 'r+' : 'w');
  const found = (await file.stat()).size;
  if (found < kept) {
    await file.close();
    throw errors.shorter({ file: partialPath, expected: kept, found });
  }
  await file.truncate(kept);
  const journal = await open(journalPath, kept > 0 ? 'a' : 'w');
  if (kept === 0) await journal.write(`${JSON.stringify({ fingerprint: options.fingerprint })}\n`);

  let position = 0;
  let unitEnd = 0;
  let done = false;
  return {
    get written() { return position; },
    resume(byteLength) {
      unitEnd = position + byteLength;
      if (unitEnd > kept) return false;
      position = unitEnd;
      return true;
    },
    async write(bytes) {
      // A header, or a unit that the earlier run left half-written: what is already there is not written again.
      const skip = Math.min(Math.max(kept - position, 0), bytes.byteLength);
      for (let at = skip; at < bytes.byteLength;) {
        const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, position + at);
        at += bytesWritten;
      }
      position += bytes.byteLength;
      if (position === unitEnd && position > kept) await journal.write(`${JSON.stringify({ end: position })}\n`);
    },
    async commit() {
      if (done) return;
      await file.truncate(position);
      await file.sync();
      await file.close();
      await journal.close();
      await rename(partialPath, path);
      await rm(journalPath, { force: true });
      await syncFolder(dirname(path));
      done = true;
    },
    async abort() {
      if (done) return;
      done = true;
      await file.close();
      await journal.close();
      await rm(partialPath, { force: true });
      await rm(journalPath, { force: true });
    },
  };
}

/** Makes a rename durable. Some platforms cannot sync a folder; the rename itself is atomic there too. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    return;
  }
}
