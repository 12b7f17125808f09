/** The main job on files that a page holds or reaches: the same plan as in Node, and without sample inputs the same bytes. */
import type { Engine } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { Folder } from '../files/source.ts';
import type { Dataset } from '../observe/data/index.ts';
import type { Distance } from '../observe/output-distance.ts';
import { observeImportance } from '../recipes/apply.ts';
import { keptVectors } from '../recipes/kept.ts';
import type { Measurements } from '../recipes/state.ts';
import { inlinePool, type Pool } from '../round/pool.ts';
import { feedsOf } from './calibration-feeds.ts';
import { outputSpecs } from './outputs.ts';
import { planOutputs, type PlannedPart } from './plan.ts';
import { secondsOf } from './plan-time.ts';
import { silentProgress, type Progress } from './progress.ts';
import { layerTimes } from './layer-times.ts';
import { modernModel, recipeRunner } from './recipe-runner.ts';
import type { PlannedOutput } from './result.ts';
import { parseSettings, type QuantizeRequest, type QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import { storageOf } from './storage-cost.ts';
import { blobFolder, openModelIn, type NamedBlob } from './source-web.ts';
import type { Written } from './target.ts';
import { targetWriters } from './targets.ts';
import { blobStore, type WebStore } from './web-store.ts';

/** What a run in a page may be asked for; the names mean what they mean in Node. */
export type WebRequest = Pick<QuantizeRequest, 'to' | 'bits' | 'weights' | 'activations' | 'recipe' | 'layout' | 'keep' | 'layer' | 'seed' | 'allowFallback' | 'allowRequantize'>;

export interface WebPlan {
  readonly model: { readonly name: string; readonly origin: 'onnx' | 'huggingface' | 'gguf'; readonly parameters: number; readonly bytes: number };
  readonly outputs: readonly PlannedOutput[];
  /** About, in Node; pages take a few times as long. */
  readonly seconds: { readonly low: number; readonly high: number };
}

export interface WebHooks {
  readonly progress?: Progress;
  /** Called with the plan before any work. */
  onPlan?(plan: WebPlan): void;
  /** Who encodes tiles; by default the thread that calls, and then the caller closes nothing. */
  readonly pool?: Pool;
  /** Where the files go; by default they are kept as Blobs. One that holds output of an earlier run with the same inputs and settings goes on from it. */
  readonly store?: WebStore;
  /** Runs the float network for recipes that want it; without one only those that look at weights alone can be carried out. */
  readonly engine?: Engine;
  readonly calibration?: WebCalibration;
  /** What earlier runs measured on the same model and sample inputs, and what this one measures for later ones. */
  readonly measurements?: Measurements;
}

/** Sample inputs, which take an engine. */
export interface WebCalibration {
  readonly set: Dataset;
  /** How outputs are compared where formats are chosen by measurement; the power of the error unless told. */
  readonly distance?: Distance;
}

export interface WebFile { readonly path: string; readonly blob: Blob }

export interface WebResult {
  readonly files: readonly WebFile[];
  readonly plan: WebPlan;
  /** What became of each output of the plan. */
  readonly written: readonly Written[];
  readonly notes: readonly string[];
}

const errors = defineErrors('quantizeWeb', {
  refused: (f: { count: number; first: string; file: string }) => [
    `${f.file}: ${f.count === 1 ? 'a tensor' : `${f.count} tensors`} cannot take the format: ${f.first}`,
    'choose another format, leave them float with keep, or allow the nearest that fits with allowFallback',
  ],
  noEngine: (_: object) => ['the recipe runs the network, and no inference engine was given', 'hand one in, or choose a recipe that looks at weights alone'],
});

/** Recipes that look at weights alone never open a session. */
const noEngine: Engine = { name: 'none', open: async () => { throw errors.noEngine({}); } };

interface Prepared { readonly model: SourceModel; readonly settings: QuantizeSettings; readonly parts: readonly PlannedPart[]; readonly plan: WebPlan }

async function prepare(given: readonly NamedBlob[] | Folder, request: WebRequest, threads: number, data: string | undefined): Promise<Prepared> {
  const model = await modernModel(await openModelIn('list' in given ? given : blobFolder(given)));
  const settings = parseSettings({ ...request, model: model.name, output: '.', verdict: false, threads, ...(data === undefined ? {} : { data }) });
  const specs = outputSpecs(model, settings);
  const parts = await planOutputs(model, specs, settings, targetWriters);
  const plan: WebPlan = {
    model: { name: model.name, origin: model.origin, parameters: model.parameters, bytes: model.bytes },
    outputs: parts.map(({ output }) => output), seconds: secondsOf(model, specs, settings),
  };
  return { model, settings, parts, plan };
}

/** What a run will do; `data` names the sample inputs that it will be given, where it will. */
export const planFiles = async (given: readonly NamedBlob[] | Folder, request: WebRequest, data?: string): Promise<WebPlan> => (await prepare(given, request, 1, data)).plan;

/** Plans, then makes the files. Throws before any work when the plan cannot be carried out. */
export async function quantizeFiles(given: readonly NamedBlob[] | Folder, request: WebRequest, hooks: WebHooks = {}): Promise<WebResult> {
  const { progress = silentProgress, pool = inlinePool(), store = blobStore(), engine = noEngine, calibration, measurements } = hooks;
  const { model, settings, parts, plan } = await prepare(given, request, pool.threads, calibration?.set.name);
  hooks.onPlan?.(plan);
  for (const { file, refusals } of plan.outputs) {
    if (refusals.length > 0) throw errors.refused({ count: refusals.length, first: refusals[0], file });
  }
  const batches = calibration === undefined ? undefined : () => feedsOf(model, calibration.set);
  const apply = recipeRunner(model, settings, {
    engine, progress, storageOf: (scheme) => storageOf(model, scheme, settings.keep), layerTimes: layerTimes(engine, 1),
    ...(batches === undefined ? {} : { batches }), ...(calibration?.distance === undefined ? {} : { distance: calibration.distance }),
    ...(measurements === undefined ? {} : { measurements }),
  });
  let observed: Promise<ReadonlyMap<string, Float32Array>> | undefined;
  const importance = (): Promise<ReadonlyMap<string, Float32Array>> => (observed ??= batches === undefined ? Promise.resolve(new Map()) : keptVectors(measurements, 'importance of columns', () => observeImportance(model.graph, engine, batches())));
  const written: Written[] = [];
  for (const { spec, plan: targetPlan } of parts) {
    progress.phase(spec.file, targetPlan.tensors.length);
    const finished = await store.finished(spec.file);
    if (finished !== undefined) progress.line(`${spec.file} was finished by an earlier run`);
    const one = finished ?? await targetWriters[spec.target].write({
      model, spec, settings, plan: targetPlan, pool, progress, apply: () => apply(spec), importance,
      open: (path) => store.open(path), share: (path, content) => store.share(path, content),
    });
    if (finished === undefined) await store.record(spec.file, one);
    written.push(one);
    progress.end();
  }
  const paths = [...new Set(written.flatMap(({ files }) => files))];
  const files = await Promise.all(paths.map(async (path) => ({ path, blob: await store.read(path) })));
  return { files, plan, written, notes: written.flatMap(({ notes }) => notes) };
}
