/** The data-free main job on files that a page holds: the same plan and the same bytes as in Node, in Blobs. */
import type { Engine } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { Folder } from '../files/source.ts';
import { inlinePool, type Pool } from '../round/pool.ts';
import { outputSpecs } from './outputs.ts';
import { planOutputs } from './plan.ts';
import { silentProgress, type Progress } from './progress.ts';
import { modern, recipeRunner } from './recipe-runner.ts';
import type { PlannedOutput } from './result.ts';
import { parseSettings, type QuantizeRequest } from './settings.ts';
import { storageOf } from './storage-cost.ts';
import { blobFolder, openModelIn, type NamedBlob } from './source-web.ts';
import type { Written } from './target.ts';
import { targetWriters } from './targets.ts';
import { blobStore, type WebStore } from './web-store.ts';

/** What a run without sample inputs may be asked for; the names mean what they mean in Node. */
export type WebRequest = Pick<QuantizeRequest, 'to' | 'bits' | 'weights' | 'activations' | 'recipe' | 'layout' | 'keep' | 'seed' | 'allowFallback' | 'allowRequantize'>;

export interface WebPlan {
  readonly model: { readonly name: string; readonly origin: 'onnx' | 'huggingface' | 'gguf'; readonly parameters: number; readonly bytes: number };
  readonly outputs: readonly PlannedOutput[];
}

export interface WebHooks {
  readonly progress?: Progress;
  /** Called with the plan before any work. */
  onPlan?(plan: WebPlan): void;
  /** Who encodes tiles; by default the thread that calls, and then the caller closes nothing. */
  readonly pool?: Pool;
  /** Where the files go; by default they are kept as Blobs. One that holds output of an earlier run with the same inputs and settings goes on from it. */
  readonly store?: WebStore;
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
  noEngine: (_: object) => 'sample inputs need an inference engine, which this job has not',
});

/** Recipes without data never open a session. */
const noEngine: Engine = { name: 'none', open: async () => { throw errors.noEngine({}); } };

/** Plans, then makes the files. Throws before any work when the plan cannot be carried out. */
export async function quantizeFiles(given: readonly NamedBlob[] | Folder, request: WebRequest, hooks: WebHooks = {}): Promise<WebResult> {
  const { progress = silentProgress, pool = inlinePool(), store = blobStore() } = hooks;
  const opened = await openModelIn('list' in given ? given : blobFolder(given));
  const model = opened.kind === 'lm' ? opened : { ...opened, graph: await modern(opened.graph) };
  const settings = parseSettings({ ...request, model: model.name, output: '.', verdict: false, threads: pool.threads });
  const parts = await planOutputs(model, outputSpecs(model, settings), settings, targetWriters);
  const plan: WebPlan = {
    model: { name: model.name, origin: model.origin, parameters: model.parameters, bytes: model.bytes },
    outputs: parts.map(({ output }) => output),
  };
  hooks.onPlan?.(plan);
  for (const { file, refusals } of plan.outputs) {
    if (refusals.length > 0) throw errors.refused({ count: refusals.length, first: refusals[0], file });
  }
  const apply = recipeRunner(model, settings, { engine: noEngine, progress, storageOf: (scheme) => storageOf(model, scheme, settings.keep) });
  const written: Written[] = [];
  for (const { spec, plan: targetPlan } of parts) {
    progress.phase(spec.file, targetPlan.tensors.length);
    const finished = await store.finished(spec.file);
    if (finished !== undefined) progress.line(`${spec.file} was finished by an earlier run`);
    const one = finished ?? await targetWriters[spec.target].write({
      model, spec, settings, plan: targetPlan, pool, progress, apply: () => apply(spec), importance: async () => new Map(),
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
