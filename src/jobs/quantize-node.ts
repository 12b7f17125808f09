/** The main job: open, plan, write, judge, recommend, and leave a manifest, a report and a card beside the files. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ortNode } from '../engine/ort-node.ts';
import { defineErrors } from '../errors.ts';
import { failingGates, parseMaxDrop, parseSize, recommend, type Gates } from '../evaluate/verdict.ts';
import { attempt, openFile, writeFileAtomic } from '../files/fs-node.ts';
import { readImatrix, type Imatrix } from '../files/imatrix.ts';
import type { Batches } from '../observe/taps.ts';
import { observeImportance, type Applied } from '../recipes/apply.ts';
import { fixedInputs } from '../recipes/fixed-inputs.ts';
import { poolNode } from '../round/pool-node.ts';
import { feedsOf } from './calibration-feeds.ts';
import { openData, type Data } from './data-node.ts';
import type { Judged } from './judge-node.ts';
import { judgeInProcess } from './judge-process-node.ts';
import { losingLayers, losingNote } from './losing-layers.ts';
import { measurementsNode } from './measurements-node.ts';
import { outputFiles, outputJournal, type OutputJournal } from './output-journal-node.ts';
import { outputSpecs } from './outputs.ts';
import { fileHash, planRun, type Planned } from './plan-node.ts';
import { silentProgress, type Progress } from './progress.ts';
import { layerTimes } from './layer-times.ts';
import { recipeRunner } from './recipe-runner.ts';
import type { LoaderSnippet, Output, QuantizePlan, QuantizeResult } from './result.ts';
import { circumstances, verdictOf } from './run-result-node.ts';
import { runSnippets, unexecutedSnippets } from './run-snippets-node.ts';
import { saveImatrix } from './save-imatrix-node.ts';
import { weightsText } from './schemes.ts';
import { parseSettings, type QuantizeRequest, type QuantizeSettings } from './settings.ts';
import type { Loaded } from './snippets.ts';
import { openModern } from './source-node.ts';
import type { SourceModel } from './source.ts';
import type { OutputSpec, Written } from './target.ts';
import { targetWriters } from './targets.ts';
import { storageOf } from './storage-cost.ts';
import { version } from './version-node.ts';

export interface QuantizeHooks {
  readonly progress?: Progress;
  /** Called with the plan before any work. */
  onPlan?(plan: QuantizePlan): void;
}

const errors = defineErrors('quantize', {
  refused: (f: { count: number; first: string; file: string }) => [
    `${f.file}: ${f.count === 1 ? 'a tensor' : `${f.count} tensors`} cannot take the format: ${f.first}`,
    'choose another format, leave them float with --keep, or allow the nearest that fits with --allow-fallback',
  ],
  exists: (f: { file: string }) => [`${f.file} exists already`, 'choose another folder with -o, or allow it with --overwrite'],
});

/** What the run will do; nothing is written. */
export async function planQuantize(request: QuantizeRequest, hooks: QuantizeHooks = {}): Promise<QuantizePlan> {
  const { model, planned: { plan } } = await prepare(parseSettings(request), hooks);
  await model.close();
  hooks.onPlan?.(plan);
  return plan;
}

interface Prepared { readonly model: SourceModel; readonly data: Data | undefined; readonly planned: Planned; readonly settings: QuantizeSettings }

async function prepare(settings: QuantizeSettings, { progress = silentProgress }: QuantizeHooks): Promise<Prepared> {
  const model = await openModern(settings.model, progress);
  try {
    const specs = outputSpecs(model, settings);
    const needsData = settings.verdict || settings.data !== undefined;
    const data = needsData ? await openData(settings, model) : undefined;
    return { model, data, settings, planned: await planRun(model, specs, settings, data) };
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** Runs the whole job. Throws before anything is written when the plan cannot be carried out. */
export async function quantize(request: QuantizeRequest, hooks: QuantizeHooks = {}): Promise<QuantizeResult> {
  const started = performance.now();
  const prepared = await prepare(parseSettings(request), hooks);
  try {
    return await carryOut(prepared, hooks, started);
  } finally {
    await prepared.model.close();
  }
}

async function carryOut({ model, data, planned, settings }: Prepared, hooks: QuantizeHooks, started: number): Promise<QuantizeResult> {
  const { progress = silentProgress } = hooks;
  const { plan, parts } = planned;
  hooks.onPlan?.(plan);
  for (const [i, { refusals }] of plan.outputs.entries()) {
    const { spec } = parts[i];
    if (refusals.length > 0) throw errors.refused({ count: refusals.length, first: refusals[0], file: spec.file });
    if (settings.overwrite || settings.resume) continue;
    const [present] = await outputFiles(settings.output, spec);
    if (present !== undefined) throw errors.exists({ file: join(settings.output, present) });
  }
  const fingerprints = await fingerprintsOf(parts.map(({ spec }) => spec), plan, settings);
  if (settings.saveImatrix !== undefined && existsSync(settings.saveImatrix) && !settings.overwrite && !settings.resume) throw errors.exists({ file: settings.saveImatrix });
  const pool = await poolNode(settings.threads);
  const apply = recipeRunner(model, settings, {
    engine: ortNode, progress, storageOf: (scheme) => storageOf(model, scheme, settings.keep), layerTimes: layerTimes(ortNode, settings.threads),
    ...(data === undefined ? {} : { distance: data.task.name === 'lm' || data.task.name === 'classify' ? 'kl' as const : 'noise' as const }),
    measurements: measurementsNode({ model: plan.model.files.map(({ sha256 }) => sha256), location: plan.model.location, data: plan.calibration?.sha256, keep: settings.keep }),
    ...(data?.calibration === undefined ? {} : { batches: () => feedsOf(model, data.calibration!) }),
  });
  let observed: Promise<ReadonlyMap<string, Float32Array>> | undefined;
  const importance = (): Promise<ReadonlyMap<string, Float32Array>> => (observed ??= observe(model, data?.calibration, settings.saveImatrix));
  const written: Written[] = [];
  const seconds: number[] = [];
  const journals: OutputJournal[] = [];
  try {
    if (settings.saveImatrix !== undefined) await importance();
    for (const [i, { spec, plan: targetPlan }] of parts.entries()) {
      const journal = outputJournal(settings.output, spec, { fingerprint: fingerprints[i], resume: settings.resume, overwrite: settings.overwrite });
      journals.push(journal);
      progress.phase(spec.file, targetPlan.tensors.length);
      const begun = performance.now();
      const finished = await journal.finished();
      if (finished !== undefined) progress.line(`${spec.file} was finished by an earlier run`);
      written.push(finished ?? await recorded(journal, () => targetWriters[spec.target].write({
        model, spec, settings, plan: targetPlan, pool, progress, apply: () => apply(spec),
        importance,
        ...(settings.imatrix === undefined ? {} : { imatrix: () => imatrixAt(settings.imatrix!) }),
        open: (path) => journal.open(path),
        share: (path, content) => shareFile(join(settings.output, path), content),
      })));
      seconds.push((performance.now() - begun) / 1000);
      progress.end();
    }
  } finally {
    await pool.close();
  }
  const judged = settings.verdict && data !== undefined ? await judgeInProcess({ settings, items: parts.map(({ spec: { file, target } }) => ({ name: file, target, path: join(settings.output, target === 'safetensors' ? dirname(file) : file) })) }, progress) : undefined;
  const loaded = parts.map(({ spec: { file, target, scheme } }): Loaded => ({ file, target, label: scheme.label }));
  const snippets = settings.verdict ? await runSnippets(loaded, settings.output, progress) : unexecutedSnippets(loaded);
  const result = await finish({ model, settings, planned, fingerprints, written, made: seconds, judged, snippets, data, seconds: (performance.now() - started) / 1000 });
  for (const journal of journals) await journal.forget();
  return { ...result, outputs: await withLosers(result, parts.map(({ spec }) => spec), apply, () => feedsOf(model, data!.calibration!)) };
}

/** The outputs; where static activations miss a gate of quality, with the layers that they lose most at. */
async function withLosers({ outputs, gates }: QuantizeResult, specs: readonly OutputSpec[], apply: (spec: OutputSpec) => Promise<Applied>, batches: () => Batches): Promise<Output[]> {
  const missing = new Set(gates.filter(({ gate }) => gate !== 'size').map(({ file }) => file));
  const named: Output[] = [];
  for (const [i, output] of outputs.entries()) {
    if (specs[i].scheme.activations !== 'static' || !missing.has(output.file)) { named.push(output); continue; }
    const applied = await apply(specs[i]);
    const losing = await losingLayers(applied, ortNode, (applied.batches ?? batches)());
    named.push({ ...output, losing, notes: [...output.notes, losingNote(losing)] });
  }
  return named;
}

/** Mean squares of what enters each column, by weight name, and in a file where one is asked for. */
async function observe(model: SourceModel, calibration: Data['calibration'], file: string | undefined): Promise<ReadonlyMap<string, Float32Array>> {
  if (calibration === undefined) return new Map();
  const found = await observeImportance(model.graph, ortNode, feedsOf(model, calibration));
  return file === undefined ? found : saveImatrix(file, found, calibration);
}

/** A small file that several outputs share, written when its content changes. */
async function shareFile(path: string, content: (present: Uint8Array | undefined) => Uint8Array): Promise<void> {
  const present = existsSync(path) ? await readFile(path) : undefined;
  const wanted = content(present);
  if (present?.equals(wanted) !== true) await writeFileAtomic(path, wanted);
}

async function imatrixAt(path: string): Promise<Imatrix> {
  const source = await openFile(path);
  try {
    return await readImatrix(source);
  } finally {
    await source.close();
  }
}

/** Identify what the bytes of each output depend on: the other outputs are not among it, nor, where nothing is trained, the number of threads. */
async function fingerprintsOf(specs: readonly OutputSpec[], { model, calibration }: QuantizePlan, settings: QuantizeSettings): Promise<string[]> {
  const { keep, allowFallback, layout, imatrix: path } = settings;
  const imatrix = path === undefined ? undefined : { name: basename(path), sha256: await attempt(path, () => fileHash(path)) };
  // A model on the web has no files here: its address stands for it.
  const source = model.files.length > 0 ? model.files.map(({ path, sha256 }) => [path, sha256]) : settings.model;
  return specs.map(({ target, scheme, recipe, file }) => {
    // Data that are made and roundings that are learned come from the seed, and sums of gradients from the threads.
    const random = recipe?.steps.some(({ step }) => step === 'distil' || step === 'reconstruct') === true ? { seed: settings.seed, threads: settings.threads } : {};
    return createHash('sha256').update(JSON.stringify({ version, file, target, scheme, recipe, source, calibration, imatrix, keep, allowFallback, layout, ...random })).digest('hex');
  });
}

/** An output made and recorded; nothing half-written stays where it fails. */
async function recorded(journal: OutputJournal, make: () => Promise<Written>): Promise<Written> {
  try {
    const written = await make();
    await journal.record(written);
    return written;
  } catch (error) {
    await journal.abort();
    throw error;
  }
}

interface Finish {
  readonly model: SourceModel;
  readonly settings: QuantizeSettings;
  readonly planned: Planned;
  readonly fingerprints: readonly string[];
  readonly written: readonly Written[];
  /** Seconds for each output. */
  readonly made: readonly number[];
  readonly judged: readonly Judged[] | undefined;
  readonly snippets: readonly LoaderSnippet[];
  readonly data: Data | undefined;
  readonly seconds: number;
}

async function finish({ model, settings, planned: { plan, parts }, fingerprints, written, made, judged, snippets, data, seconds }: Finish): Promise<QuantizeResult> {
  const outputs = await Promise.all(parts.map(async ({ spec }, i): Promise<Output> => {
    const files = await Promise.all(written[i].files.map(async (path) => {
      const absolute = join(settings.output, path);
      return { path, bytes: (await stat(absolute)).size, sha256: await fileHash(absolute) };
    }));
    const planned = plan.outputs[i];
    const tensors = written[i].tensors.length > 0 ? written[i].tensors : planned.tensors;
    const fallbacks = tensors.flatMap(({ name, target, fallback }) => (fallback === undefined ? [] : [{ tensor: name, format: target, reason: fallback }]));
    const verdict = verdictOf({
      file: spec.file, target: spec.target, format: weightsText(spec.scheme), size: files.reduce((sum, { bytes }) => sum + bytes, 0),
      bitsPerWeight: (written[i].tensorBits ?? 8 * tensors.reduce((sum, { bytesAfter }) => sum + bytesAfter, 0)) / Math.max(1, model.parameters), ...(fallbacks.length === 0 ? {} : { fallbacks }),
    }, judged?.[i]);
    return { file: spec.file, files, fingerprint: fingerprints[i], target: spec.target, label: spec.scheme.label, recipe: spec.recipe?.name ?? 'none', activations: spec.recipe === undefined || spec.scheme.activations !== 'float' ? spec.scheme.activations : fixedInputs(spec.recipe) ?? 'float', seconds: made[i], tensors, histograms: written[i].histograms, verdict, notes: written[i].notes, ...(written[i].allocation === undefined ? {} : { allocation: written[i].allocation }), snippet: snippets[i] };
  }));
  const gates: Gates = {
    ...(settings.maxKl === undefined ? {} : { maxKl: settings.maxKl }),
    ...(settings.minAgreement === undefined ? {} : { minAgreement: settings.minAgreement }),
    ...(settings.maxDrop === undefined ? {} : { maxDrop: parseMaxDrop(settings.maxDrop) }),
    ...(settings.maxSize === undefined ? {} : { maxSize: parseSize(settings.maxSize) }),
  };
  const verdicts = outputs.map(({ verdict }) => verdict);
  const { location: _location, ...description } = plan.model;
  return {
    ...circumstances(verdicts, settings.threads), model: description,
    ...(plan.calibration === undefined ? {} : { calibration: plan.calibration }), ...(plan.evaluation === undefined ? {} : { evaluation: plan.evaluation }),
    float: { bytes: model.bytes, engine: 'onnxruntime-node' }, outputs, recommendation: recommend(verdicts, model.bytes, gates),
    gates: failingGates(verdicts, gates), settings: { ...settings, task: data?.task.name ?? settings.task }, seconds,
  };
}

/** Writes what stands beside the outputs: manifests, the result as JSON, the report and the model card. */
export async function writeBeside(result: QuantizeResult, folder: string): Promise<string[]> {
  const { manifestOf, modelCard, resultHtml } = await import('../report/index.ts');
  const made: string[] = [];
  const put = async (name: string, content: string) => {
    await writeFileAtomic(join(folder, name), content);
    made.push(name);
  };
  const json = (value: unknown) => `${JSON.stringify(value, (_key, item: unknown) => (typeof item === 'number' && !Number.isFinite(item) ? String(item) : item), 2)}\n`;
  for (const output of result.outputs) await put(`${output.file}.manifest.json`, json(manifestOf(result, output)));
  await put('result.json', json(result));
  await put('report.html', resultHtml(result));
  for (const output of result.outputs) await put(`${output.file}.md`, modelCard(result, output));
  return made;
}
