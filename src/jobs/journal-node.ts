/**
 * Output that survives an interruption. Bytes go to `<file>.partial`; after each unit (a tensor) the
 * journal `<file>.journal` records how far the partial file is whole. A resumed run with the same
 * fingerprint keeps those bytes and goes on; the final name appears only through a rename. The journal
 * outlives the rename until `forgetJournal`: other files of the output may still be on their way.
 */
import { mkdir, open, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { defineErrors } from '../errors.ts';
import { attempt } from '../files/fs-node.ts';
import type { ByteSink } from '../files/source.ts';
import { UnitCursor } from './unit-cursor.ts';

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

interface Kept {
  /** End of the last whole unit of the partial file; 0 when there is nothing to keep. */
  readonly bytes: number;
  /** Bytes of the journal up to its last whole line. */
  readonly journal: number;
}

/** How far an interrupted run came with the file that now lies at `partialPath`. */
async function keptBytes(journalPath: string, partialPath: string, fingerprint: string): Promise<Kept> {
  if (!existsSync(journalPath) || !existsSync(partialPath)) return { bytes: 0, journal: 0 };
  const lines = (await readFile(journalPath, 'utf8')).split('\n');
  // The last line may have been cut by the interruption; it ends without a line feed then.
  lines.pop();
  let bytes = 0;
  for (const [index, line] of lines.entries()) {
    let record: { fingerprint?: unknown; end?: unknown };
    try {
      record = JSON.parse(line) as typeof record;
    } catch {
      throw errors.damaged({ file: journalPath, line: index + 1 });
    }
    if (index === 0) {
      if (record.fingerprint !== fingerprint) throw errors.otherRun({ file: partialPath });
    } else if (typeof record.end === 'number' && record.end >= bytes) {
      bytes = record.end;
    } else {
      throw errors.damaged({ file: journalPath, line: index + 1 });
    }
  }
  return { bytes, journal: lines.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0) };
}

const partialOf = (path: string): string => `${path}.partial`;
const journalOf = (path: string): string => `${path}.journal`;

/** Whether an interrupted run has left a journal of the file, finished or not. */
export const hasJournal = (path: string): boolean => existsSync(journalOf(path));

/** Drops the journal of a finished file: nothing is left to resume. */
export const forgetJournal = (path: string): Promise<void> => rm(journalOf(path), { force: true });

/** Opens `path` for journaled output; refuses a finished file of that name unless told to replace it. */
export async function journaledSink(path: string, options: JournalOptions): Promise<ByteSink> {
  const { fingerprint, resume, overwrite } = options;
  const partialPath = partialOf(path);
  const journalPath = journalOf(path);
  // Finished by a run that was interrupted before the other files of the output were: whole, and to be committed with them.
  const renamed = resume && existsSync(path) && existsSync(journalPath) && !existsSync(partialPath);
  if (existsSync(path) && !renamed && !overwrite) throw errors.exists({ file: path });
  const madeFolder = await folderFor(path);
  const { bytes: kept, journal: journalBytes } = resume ? await keptBytes(journalPath, renamed ? path : partialPath, fingerprint) : { bytes: 0, journal: 0 };
  if (renamed) await attempt(path, () => rename(path, partialPath));

  const file = await attempt(path, () => open(partialPath, kept > 0 ? 'r+' : 'w'));
  const found = (await file.stat()).size;
  if (found < kept) {
    await file.close();
    throw errors.shorter({ file: partialPath, expected: kept, found });
  }
  await file.truncate(kept);
  const journal = await attempt(path, () => open(journalPath, kept > 0 ? 'a' : 'w'));
  if (kept > 0) await journal.truncate(journalBytes);
  else await attempt(path, () => journal.write(`${JSON.stringify({ fingerprint })}\n`));

  const cursor = new UnitCursor(kept);
  let done = false;
  const close = async (): Promise<void> => {
    done = true;
    await file.close();
    await journal.close();
  };
  return {
    get written() { return cursor.position; },
    resume: (byteLength) => cursor.resume(byteLength),
    async write(bytes) {
      const skip = cursor.skip(bytes.byteLength);
      for (let at = skip; at < bytes.byteLength;) {
        const { bytesWritten } = await attempt(path, () => file.write(bytes, at, bytes.byteLength - at, cursor.position + at));
        at += bytesWritten;
      }
      if (cursor.advance(bytes.byteLength)) await attempt(path, () => journal.write(`${JSON.stringify({ end: cursor.position })}\n`));
    },
    async commit() {
      if (done) return;
      await attempt(path, async () => {
        await file.truncate(cursor.position);
        await file.sync();
        await rename(partialPath, path);
      });
      await close();
      await syncFolder(dirname(path));
    },
    async abort() {
      if (done) return;
      await close();
      await rm(partialPath, { force: true });
      await rm(journalPath, { force: true });
      if (madeFolder !== undefined) await removeEmpty(dirname(path), madeFolder);
    },
  };
}

/** Makes the folder of a file; gives the outermost folder that had to be made. */
async function folderFor(path: string): Promise<string | undefined> {
  const folder = dirname(path);
  try {
    return await mkdir(folder, { recursive: true });
  } catch (error) {
    throw errors.folder({ folder, reason: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
}

/** Removes folders from `folder` up to `outermost` while they are empty. */
async function removeEmpty(folder: string, outermost: string): Promise<void> {
  try {
    for (let at = folder; at.startsWith(outermost); at = dirname(at)) await rmdir(at);
  } catch {
    // Something else lies there by now.
    return;
  }
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
