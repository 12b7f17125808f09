/** What a run is going to do, worked out from headers and shapes before any weight is read. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import { bindFeeds, fixedBatch } from '../evaluate/feeds.ts';
import { parseFormat } from '../formats/registry.ts';
import { decodeBf16, decodeF16 } from '../numeric/half.ts';
import type { Dataset } from '../observe/data/dataset.ts';
import { batchSize } from './calibration-feeds.ts';
import type { Data } from './data-node.ts';
import { dataUse } from './data-node.ts';
import { unlikeTraining } from './first-normalization.ts';
import { planOutputs, type PlannedPart } from './plan.ts';
import { secondsOf } from './plan-time.ts';
import type { QuantizePlan, QuantizeResult } from './result.ts';
import type { QuantizeSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import type { OutputSpec } from './target.ts';
import { floatInputs, outsideLayers } from './targets/onnx-plan.ts';
import { targetWriters } from './targets.ts';

const errors = defineErrors('planData', {
  shape: (f: { name: string; given: string; wanted: string }) => [`input ${f.name}: a sample of the data is [${f.given}], and the model takes [${f.wanted}]`, 'give data of that shape, samples along the first axis; how images become inputs says --input'] as const,
  batch: (f: { name: string; count: number }) => [`input ${f.name}: the model takes ${f.count} samples at a time, and there are fewer`, 'give more data, or export the model with an open first axis'] as const,
});

export interface Planned {
  readonly plan: QuantizePlan;
  readonly parts: readonly PlannedPart[];
}

/** SHA-256 of a file, read as a stream. */
export async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

export async function describeModel(model: SourceModel): Promise<QuantizeResult['model']> {
  const files = await Promise.all(model.files.map(async (path) => ({ path: basename(path), bytes: (await stat(path)).size, sha256: await fileHash(path) })));
  return {
    name: model.name, origin: model.origin, parameters: model.parameters, bytes: model.bytes, files,
    ...(model.license === undefined ? {} : { license: model.license }),
  };
}

export async function planRun(model: SourceModel, specs: readonly OutputSpec[], settings: QuantizeSettings, data: Data | undefined): Promise<Planned> {
  const parts = await planOutputs(model, specs, settings, targetWriters);
  const outputs = parts.map(({ output }) => output);
  const sample = data === undefined ? undefined : await firstFeeds(data.calibration ?? data.evaluation, model);
  const inputs = inputRanges(model, sample ?? {});
  const warnings = inputs.flatMap(({ warning }) => (warning === undefined ? [] : [warning]));
  if (sample !== undefined && model.kind === 'onnx') refuseShapes(bindFeeds(sample, model.graph.inputs), model.graph);
  const unlike = sample === undefined || data!.seeded ? undefined : await unlikeTraining(model.graph, ortNode, bindFeeds(sample, model.graph.inputs));
  if (unlike !== undefined) warnings.push(unlike);
  const outside = specs.some(({ target, scheme }) => target === 'onnx' && parseFormat(scheme.weights).family !== 'float') ? outsideLayers(model) : undefined;
  if (outside !== undefined) warnings.push(outside);
  warnings.push(...new Set(specs.flatMap(({ scheme }) => floatInputs(model, scheme) ?? [])));
  if (data?.seeded === true && settings.verdict) warnings.push('no --data given: the verdict uses made-up inputs, which real ones may contradict');
  const plan: QuantizePlan = {
    model: { ...(await describeModel(model)), location: model.location },
    outputs, inputs, warnings,
    ...(data?.calibration === undefined ? {} : { calibration: await dataUse(data.calibration) }),
    ...(data === undefined ? {} : { evaluation: await dataUse(data.evaluation) }),
    memory: memoryOf(model, specs, settings), seconds: secondsOf(model, specs, settings),
  };
  return { plan, parts };
}

/** Refuses data that the model's inputs cannot take, which the engine would say in the middle of the run. */
function refuseShapes(feeds: Feeds, { inputs }: SourceModel['graph']): void {
  for (const { name, shape } of inputs) {
    const given = feeds[name]?.shape;
    if (given === undefined || shape === undefined) continue;
    const differs = (axis: number): boolean => typeof shape[axis] === 'number' && shape[axis] > 0 && shape[axis] !== given[axis];
    const axes = shape.map((_, axis) => axis).filter(differs);
    if (given.length === shape.length && axes.length === 0) continue;
    const wanted = shape.map((dim) => dim ?? '?').join(', ');
    if (given.length === shape.length && axes.length === 1 && axes[0] === 0) throw errors.batch({ name, count: shape[0] as number });
    throw errors.shape({ name, given: given.join(', '), wanted });
  }
}

/** A few samples, as many as a batch may hold. */
async function firstFeeds(dataset: Dataset, { graph }: SourceModel): Promise<Feeds> {
  return (await dataset.batch(Array.from({ length: Math.min(batchSize(dataset, fixedBatch(graph)), dataset.count) }, (_, i) => i))).feeds;
}

/** Ranges of the inputs as the model will see them; values that no normalised input has are pointed out. */
function inputRanges(model: SourceModel, feeds: Feeds): QuantizePlan['inputs'] {
  const shown = model.graph.inputs.filter(({ name }) => !name.startsWith('past_key_values'));
  const seen = new Map<string, { low: number; high: number }>();
  for (const [name, { type, data: stored }] of Object.entries(feeds)) {
    const data = type === 'f16' ? decodeF16(stored as Uint16Array) : type === 'bf16' ? decodeBf16(stored as Uint16Array) : stored;
    let low = Infinity, high = -Infinity;
    for (const value of data) { low = Math.min(low, Number(value)); high = Math.max(high, Number(value)); }
    seen.set(name, { low, high });
  }
  return shown.map(({ name, shape }) => {
    const range = seen.get(name) ?? (shown.length === 1 && seen.size === 1 ? [...seen.values()][0] : undefined);
    return { name, shape: `[${(shape ?? []).map((dim) => dim ?? '?').join(', ')}]`, ...range };
  });
}

/** Rough peaks: tiles and buffers for data-free work, second moments and the float model's session for calibrated. */
function memoryOf(model: SourceModel, specs: readonly OutputSpec[], settings: QuantizeSettings): QuantizePlan['memory'] {
  const base = 150e6;
  const float = 4 * model.parameters;
  const calibrates = specs.some(({ recipe, scheme }) => recipe?.needs.includes('sample inputs') === true || scheme.activations === 'static');
  const largest = Math.max(0, ...[...model.graph.weights.values()].map((tensor) => tensor.byteLength));
  const convert = base + (calibrates ? 2 * float + 0.5e9 : Math.min(300e6, 3 * largest));
  return { convert, judge: settings.verdict ? base + 2 * float + specs.length * 0.3 * float : 0 };
}
