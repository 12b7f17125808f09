/** The data-free main job on files that a page holds: the same plan and the same bytes as in Node, in Blobs. */
import type { Engine } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { ByteSink } from '../files/source.ts';
import { inlinePool, type Pool } from '../round/pool.ts';
import { outputSpecs } from './outputs.ts';
import { planOutputs } from './plan.ts';
import { silentProgress, type Progress } from './progress.ts';
import { modern, recipeRunner } from './recipe-runner.ts';
import type { PlannedOutput } from './result.ts';
import { parseSettings, type QuantizeRequest } from './settings.ts';
import { storageOf } from './storage-cost.ts';
import { openBlobs, type NamedBlob } from './source-web.ts';
import { targetWriters } from './targets.ts';

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
}

export interface WebFile { readonly path: string; readonly blob: Blob }

export interface WebResult { readonly files: readonly WebFile[]; readonly plan: WebPlan; readonly notes: readonly string[] }

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
export async function quantizeFiles(given: readonly NamedBlob[], request: WebRequest, hooks: WebHooks = {}): Promise<WebResult> {
  const { progress = silentProgress, pool = inlinePool() } = hooks;
  const opened = await openBlobs(given);
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
  const made = new Map<string, Blob>();
  const paths = new Set<string>();
  const notes: string[] = [];
  for (const { spec, plan: targetPlan } of parts) {
    progress.phase(spec.file, targetPlan.tensors.length);
    const written = await targetWriters[spec.target].write({
      model, spec, settings, plan: targetPlan, pool, progress, apply: () => apply(spec), importance: async () => new Map(),
      open: async (path) => blobSink((blob) => made.set(path, blob)),
      share: async (path, content) => {
        const present = made.get(path);
        made.set(path, new Blob([content(present === undefined ? undefined : new Uint8Array(await present.arrayBuffer())).slice()]));
      },
    });
    for (const path of written.files) paths.add(path);
    notes.push(...written.notes);
    progress.end();
  }
  return { files: [...paths].map((path) => ({ path, blob: made.get(path)! })), plan, notes };
}

/** Bytes that a sink holds before it hands them to the browser, which may keep Blobs on disk. */
const heldBytes = 32 * 1024 * 1024;

/** A sink whose bytes become a Blob when it is committed. */
function blobSink(commit: (blob: Blob) => void): ByteSink {
  let parts: BlobPart[] = [];
  let held = 0;
  let written = 0;
  return {
    get written() { return written; },
    write: async (bytes) => {
      parts.push(bytes.slice());
      held += bytes.byteLength;
      written += bytes.byteLength;
      if (held < heldBytes) return;
      parts = [new Blob(parts)];
      held = 0;
    },
    commit: async () => commit(new Blob(parts)),
    abort: async () => { parts = []; },
  };
}
