/**
 * Moves models between files: `convert` plans, writes to temporary names and renames when all is written. What can be
 * copied is copied bit for bit; what changes its type is measured while it is written.
 */
import { existsSync, realpathSync, statSync } from 'node:fs';
import { readdir, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { defineErrors } from '../errors.ts';
import { parseSize } from '../evaluate/verdict.ts';
import { fileSink } from '../files/fs-node.ts';
import { parseSplitName, splitName } from '../files/gguf-split.ts';
import type { ByteSink } from '../files/source.ts';
import { poolNode } from '../round/pool-node.ts';
import { convertErrors } from './convert-errors.ts';
import { prepareGguf } from './convert-gguf.ts';
import { prepareHuggingFace } from './convert-huggingface.ts';
import { prepareImatrix } from './convert-imatrix.ts';
import { prepareOnnx } from './convert-onnx.ts';
import { openStored, type Stored } from './convert-source-node.ts';
import { convertSettings, type ConvertPlan, type ConvertRequest, type ConvertResult, type ConvertSettings, type Prepared } from './convert.ts';
import { silentProgress, type Progress } from './progress.ts';
import { checkSettings } from './settings.ts';

const errors = defineErrors('convert', {
  exists: (f: { path: string }) => [`${f.path} exists already`, 'choose another name with -o, or allow it with --overwrite'] as const,
  source: (f: { path: string }) => [`${f.path} is what is read, and stays as it is`, 'choose another name with -o'] as const,
  folder: (f: { path: string }) => [`${f.path} is a file, the output is a folder`, 'choose another name with -o'] as const,
});

export interface ConvertHooks {
  readonly progress?: Progress;
  onPlan?(plan: ConvertPlan): void;
}

/** What a conversion will write; nothing is written. */
export async function planConvert(request: ConvertRequest, hooks: ConvertHooks = {}): Promise<ConvertPlan> {
  return withPrepared(request, hooks, async ({ plan }) => plan);
}

/** Converts. Throws with nothing written where that cannot be done. */
export async function convert(request: ConvertRequest, hooks: ConvertHooks = {}): Promise<ConvertResult> {
  const started = performance.now();
  const { progress = silentProgress } = hooks;
  return withPrepared(request, hooks, async ({ plan, prepared, place, settings, stored }) => {
    hooks.onPlan?.(plan);
    checkOutput(plan, place, stored, settings.overwrite);
    progress.phase(plan.files.at(-1)!.path, prepared.tensors.length);
    const made = !existsSync(place.folder);
    const sinks: ByteSink[] = [];
    try {
      for (const { path } of plan.files) sinks.push(await fileSink(path));
      const tensors = await prepared.write(sinks, place.name, progress);
      for (const sink of sinks) await sink.commit();
      if (plan.to === 'huggingface') await dropOtherShards(place.folder, plan);
      progress.end();
      const files = plan.files.map(({ path }, i) => ({ path, bytes: sinks[i].written }));
      return { ...plan, files, tensors, seconds: (performance.now() - started) / 1000 };
    } catch (error) {
      progress.end();
      await Promise.all(sinks.map((sink) => sink.abort()));
      // Only when it is empty: what others put there meanwhile stays.
      if (made) await rmdir(place.folder).catch(() => {});
      throw error;
    }
  });
}

interface Place { readonly folder: string; readonly name: string }
interface Ready { readonly plan: ConvertPlan; readonly prepared: Prepared; readonly place: Place; readonly settings: ConvertSettings; readonly stored: Stored }

async function withPrepared<T>(request: ConvertRequest, { progress = silentProgress }: ConvertHooks, work: (ready: Ready) => Promise<T>): Promise<T> {
  const settings = checkSettings(convertSettings, request);
  for (const [option, given] of [['--shard-size', settings.shardSize !== undefined], ['--merge', settings.merge]] as const) {
    if (given && settings.to !== 'huggingface' && settings.to !== 'gguf') throw convertErrors.useless({ option, to: settings.to });
  }
  if (settings.externalData !== undefined && settings.to !== 'onnx') throw convertErrors.useless({ option: '--external-data', to: settings.to });
  if (settings.type !== undefined && settings.to === 'imatrix') throw convertErrors.useless({ option: '--type', to: settings.to });
  const stored = await openStored(settings.model, progress);
  const pool = poolNode(settings.threads);
  let prepared: Prepared | undefined;
  try {
    const limit = settings.merge ? Infinity : settings.shardSize === undefined ? undefined : parseSize(settings.shardSize);
    switch (settings.to) {
      case 'huggingface': prepared = await prepareHuggingFace(stored, settings, limit, pool); break;
      case 'gguf': prepared = await prepareGguf(stored, settings, limit ?? Infinity, pool); break;
      case 'onnx': prepared = await prepareOnnx(stored, settings, pool); break;
      case 'imatrix': prepared = await prepareImatrix(stored); break;
    }
    const place = placeOf(settings, prepared.defaultName);
    const plan: ConvertPlan = {
      source: { name: stored.name, kind: stored.kind, files: sourceFiles(stored, prepared) },
      to: settings.to, tensors: prepared.tensors, notes: prepared.notes,
      files: prepared.files(place.name).map(({ path, bytes }) => ({ path: join(place.folder, path), bytes })),
    };
    return await work({ plan, prepared, place, settings, stored });
  } finally {
    await prepared?.close();
    await stored.source?.close();
    await pool.close();
  }
}

/** A folder of safetensors is the output itself; a file goes under the name given, or into the folder given under its own. */
function placeOf({ to, output }: ConvertSettings, defaultName: string): Place {
  if (to === 'huggingface') return { folder: output ?? defaultName, name: '' };
  if (output === undefined) return { folder: '.', name: defaultName };
  const intoFolder = /[/\\]$/.test(output) || (existsSync(output) && statSync(output).isDirectory());
  return intoFolder ? { folder: output, name: defaultName } : { folder: dirname(output), name: basename(output) };
}

/** Files that are read, as far as they lie on this disk. */
function sourceFiles({ location, source }: Stored, { reads = [] }: Prepared): string[] {
  if (/^https?:/.test(location)) return [location];
  const split = parseSplitName(location);
  if (source === undefined || split === undefined) return [location, ...reads.map((name) => join(dirname(location), name))];
  return Array.from({ length: split.count }, (_, index) => splitName(split.stem, index, split.count)).filter(existsSync);
}

function checkOutput({ source, files, to }: ConvertPlan, { folder }: Place, stored: Stored, overwrite: boolean): void {
  const real = (path: string): string => (existsSync(path) ? realpathSync(path) : resolve(path));
  const read = new Set(source.files.map(real));
  if (existsSync(folder) && !statSync(folder).isDirectory()) throw errors.folder({ path: folder });
  if (to === 'huggingface' && stored.source === undefined && read.has(real(folder))) throw errors.source({ path: folder });
  for (const { path } of files) {
    if (read.has(real(path)) || real(path).startsWith(`${stored.location}${sep}`)) throw errors.source({ path });
    if (existsSync(path) && !overwrite) throw errors.exists({ path });
  }
}

/** Weights of an earlier conversion to the same folder, which readers would take for part of this one. */
async function dropOtherShards(folder: string, { files }: ConvertPlan): Promise<void> {
  const kept = new Set(files.map(({ path }) => basename(path)));
  for (const name of await readdir(folder)) {
    if (/^model(-\d{5}-of-\d{5})?\.safetensors$|^model\.safetensors\.index\.json$/.test(name) && !kept.has(name)) await rm(join(folder, name));
  }
}
