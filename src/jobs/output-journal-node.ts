/**
 * The files of one output as a unit. They are opened, committed and given up together; once all are finished, a record
 * `<main file>.finished` says what they are, so that a run interrupted at a later output need not make them again.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defineErrors } from '../errors.ts';
import { writeFileAtomic } from '../files/fs-node.ts';
import type { ByteSink } from '../files/source.ts';
import { forgetJournal, hasJournal, journaledSink, type JournalOptions } from './journal-node.ts';
import type { OutputSpec, Written } from './target.ts';

const errors = defineErrors('finished', {
  otherRun: (f: { file: string }) => [`${f.file}: finished by a run with other inputs or settings`, 'choose another folder with -o, or allow replacing it with --overwrite'],
});

export interface OutputJournal {
  /** A journaled sink for a file of the output, by its path relative to the output folder. */
  open(path: string): Promise<ByteSink>;
  /** The output as an earlier run has left it, when there is nothing more to make. */
  finished(): Promise<Written | undefined>;
  /** All files are in place. */
  record(written: Written): Promise<void>;
  /** Drops what was opened and not committed. */
  abort(): Promise<void>;
  /** Drops journals and record: the run has ended. */
  forget(): Promise<void>;
}

export function outputJournal(folder: string, { file, target }: Pick<OutputSpec, 'file' | 'target'>, options: JournalOptions): OutputJournal {
  const recordPath = join(folder, `${file}.finished`);
  const sinks: ByteSink[] = [];
  let files: readonly string[] = [];
  return {
    async open(path) {
      const sink = await journaledSink(join(folder, path), options);
      sinks.push(sink);
      return sink;
    },
    async finished() {
      if (!options.resume) return undefined;
      const present = await outputFiles(folder, { file, target });
      if (present.length === 0) return undefined;
      if (existsSync(recordPath)) {
        const record = JSON.parse(await readFile(recordPath, 'utf8')) as { fingerprint: string; written: Written };
        if (record.fingerprint !== options.fingerprint) throw errors.otherRun({ file });
        ({ files } = record.written);
        return record.written;
      }
      if (options.overwrite || present.some((path) => hasJournal(join(folder, path)))) return undefined;
      const manifest = await manifestOf(join(folder, `${file}.manifest.json`));
      const made = manifest?.output?.fingerprint;
      if (made !== undefined && made !== options.fingerprint) throw errors.otherRun({ file });
      return { files: present, tensors: manifest?.tensors ?? [], histograms: [], notes: ['finished by an earlier run'] };
    },
    async record(written) {
      ({ files } = written);
      await writeFileAtomic(recordPath, JSON.stringify({ fingerprint: options.fingerprint, written }));
    },
    async abort() {
      for (const sink of sinks) await sink.abort();
    },
    async forget() {
      for (const path of files) await forgetJournal(join(folder, path));
      await rm(recordPath, { force: true });
    },
  };
}

/** Of a manifest beside the output, what a resumed run needs; undefined where there is none that can be read. */
async function manifestOf(path: string): Promise<{ readonly output?: { readonly fingerprint?: string }; readonly tensors?: Written['tensors'] } | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as object;
  } catch {
    return undefined;
  }
}

/** What a run leaves beside the files of a folder, or on the way to them. */
const besides = /\.(partial|journal|finished)$|\.safetensors\.(manifest\.json|md)$/;

/** Files of an output that lie in the folder under their final names, the main one first; empty where its weights do not. */
export async function outputFiles(folder: string, { file, target }: Pick<OutputSpec, 'file' | 'target'>): Promise<string[]> {
  const own = [file, `${file}_data`].filter((path) => existsSync(join(folder, path)));
  if (target === 'onnx' || target === 'gguf') return own[0] === file ? own : [];
  const top = file.slice(0, file.indexOf('/'));
  const side = (await namesIn(join(folder, top))).filter((name) => !besides.test(name) && !name.endsWith('.safetensors')).map((name) => `${top}/${name}`);
  if (target === 'transformers.js') return own[0] === file ? [...own, ...side] : [];
  const weights = (await namesIn(join(folder, dirname(file)))).filter((name) => name.endsWith('.safetensors')).map((name) => `${top}/${name}`);
  return weights.length === 0 ? [] : [...weights, ...side];
}

/** Names of the files of a folder in order; none where it is missing. */
async function namesIn(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name).sort();
}
