/** What the worker has before it: the model that is open, and where its files are. */
import { blobFolder } from '../../src/jobs/source-web.ts';
import { openHub } from '../../src/files/hub-list.ts';
import type { Folder } from '../../src/files/source.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { exampleFiles } from './examples.ts';
import type { Given } from './protocol.ts';
import { digestOf, type Origin } from './runs.ts';

export interface Desk { readonly folder: Folder; readonly origin: Origin; readonly model: SourceModel; readonly fingerprint: string }

export const desk: { open?: Desk } = {};

export function opened(): Desk {
  if (desk.open === undefined) throw new Error('no model is open');
  return desk.open;
}

/** As the command line spells it; an address of the hub is as good. */
export const hubId = (text: string): string => `hf:${text.trim().replace(/^https?:\/\/[^/]+\//, '').replace(/^hf:/, '').replace(/\/$/, '')}`;

export async function folderOf(given: Given): Promise<{ readonly folder: Folder; readonly origin: Origin }> {
  if (given.kind === 'files') return { folder: blobFolder(given.files), origin: { kind: 'files', names: given.files.map(({ name }) => name) } };
  if (given.kind === 'example') return { folder: blobFolder(await exampleFiles(given.paths)), origin: given };
  return { folder: await openHub(hubId(given.id), given.hubUrl), origin: given };
}

/** Bytes looked at at each end of a file, and in each of so many places between. */
const ends = 64 * 1024;
const between = { places: 30, bytes: 4096 };

/**
 * Of names, sizes, and what stands at both ends of every file and here and there between: all of a large file would take
 * minutes. Between the ends of a file of a hub nothing is fetched; its id stands for it.
 */
export async function fingerprintOf(folder: Folder, origin: Origin): Promise<string> {
  const parts: string[] = origin.kind === 'hub' ? [hubId(origin.id), origin.hubUrl] : [];
  for (const name of [...await folder.list()].sort()) {
    const source = await folder.open(name);
    const { size } = source;
    const looked = [await source.read(0, Math.min(ends, size)), await source.read(Math.max(0, size - ends), size)];
    const step = Math.floor(size / (between.places + 1));
    if (origin.kind !== 'hub' && step > between.bytes) for (let i = 1; i <= between.places; i++) looked.push(await source.read(i * step, i * step + between.bytes));
    parts.push([name, size, ...await Promise.all(looked.map(digestOf))].join(' '));
  }
  return await digestOf(new TextEncoder().encode(parts.join('\n'))) ?? parts.join('\n');
}
