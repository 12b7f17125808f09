/** A source model and a request for training brought together: the step graph, the loop over the data, the way back. */
import type { Engine, Feeds } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { Tensor } from '../engine/tensor.ts';
import { bindFeeds } from '../evaluate/feeds.ts';
import { exportFakeQuantize } from '../export/onnx-fake-quantize.ts';
import { exportTrustQuantize } from '../export/onnx-trust-quantize.ts';
import { exportWeightOnly } from '../export/onnx-weight-only.ts';
import { parseFormat } from '../formats/registry.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { bindToShapes } from '../graph/bind.ts';
import { trainBatchNorm } from '../graph/train-batchnorm.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { isFloatType } from '../graph/values.ts';
import { headName } from '../models/llama-weights.ts';
import type { Batch, Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';
import { insertAdapters, mergeAdapters, type Adapter } from '../train/adapters.ts';
import { augmentImages, type AugmentOptions } from '../train/augment.ts';
import { fit } from '../train/fit.ts';
import { besideAdapters, freezeBase, type FrozenBase } from '../train/frozen-base.ts';
import { classification } from '../train/objective.ts';
import { adam, adamw, sgd, type Optimizer } from '../train/optimizers.ts';
import { trainableWeights } from '../train/parameters.ts';
import { insertFakeQuantize, type QuantizationAware, type SiteBits } from '../train/quantization-aware.ts';
import { constant, cosine, linear, withWarmup, type Schedule } from '../train/schedules.ts';
import { observeSummaries } from '../train/summaries.ts';
import { Trainer, type ParameterGroup } from '../train/trainer.ts';
import { insertTrustQuantize } from '../train/trust-quantization.ts';
import { turnable } from '../transform/rotate.ts';
import { roundsOfFrozen, type FinetuneSettings } from './finetune-settings.ts';
import { keepsFloat } from './keep.ts';
import type { TensorLine } from './result.ts';
import type { SourceModel } from './source.ts';

export interface TrainingOptions extends Pick<FinetuneSettings,
  'recipe' | 'weights' | 'edgeBits' | 'keep' | 'epochs' | 'steps' | 'batch' | 'rate' | 'optimizer' | 'schedule' | 'warmup' | 'decay' | 'clipNorm' | 'distill' | 'temperature' | 'augment' | 'lora' | 'loraAlpha' | 'checkpointEvery' | 'seed' | 'threads'> {
  readonly engine: Engine;
  readonly weightBits: number | undefined;
  readonly activationBits: number | undefined;
}

export interface FitHooks {
  onStep?(step: number, loss: number): void;
  readonly checkpoint?: (state: ReadonlyMap<string, Tensor>) => Promise<void>;
}

export interface Prepared {
  readonly trainer: Trainer;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** What the weights become. */
  readonly tensors: TensorLine[];
  fit(hooks: FitHooks): Promise<void>;
  /** The graph that the trained model is written as. */
  finish(): Promise<Graph>;
}

/** Batches that say where step sizes start. */
const summaryBatches = 4;
/** Windows of text are long: few of them fill memory and time as many images do. Language models take smaller steps, adapters do not. */
const usualBatch: Readonly<Record<SourceModel['kind'], number>> = { lm: 8, onnx: 64 };
const usualRate = (kind: SourceModel['kind'], lora: number | undefined): number => (kind === 'lm' && lora === undefined ? 3e-4 : 1e-3);
/** Steps that an interruption costs at most. */
const usualCheckpoint = 200;

const errors = defineErrors('training', {
  noMatrices: (f: { model: string; recipe: string }) => [`${f.model} has no matrix products for ${f.recipe} to train`, 'use --recipe lsq, which quantizes convolutions too'],
});

export async function prepareTraining(model: SourceModel, data: Dataset, options: TrainingOptions): Promise<Prepared> {
  const { engine, seed } = options;
  const source = model.language?.graph() ?? model.graph;
  const fixed = source.inputs[0]?.shape?.[0];
  const wanted = options.batch ?? usualBatch[model.kind];
  const batch = Math.min(typeof fixed === 'number' ? fixed : wanted, data.count);
  const accumulate = Math.max(1, Math.round(wanted / batch));
  const feedsOf = async (indices: readonly number[]): Promise<Feeds> => bindFeeds((await data.batch(indices)).feeds, source.inputs);
  const first = await feedsOf(Array.from({ length: batch }, (_, i) => i));
  // Not folded: a tied head, the transpose of the embedding table, must stay that and be trained with it.
  const float = await bindToShapes(source, new Map(Object.entries(first).map(([name, { shape }]) => [name, shape])));
  const [{ name: logits }] = float.outputs;

  const isKept = ({ id, node }: Linear): boolean => keepsFloat(id, node.name, options.keep);
  const base = await frozenBase(float, isKept, options, model.name);
  const bits = bitsPerSite(linearSites(float), model.kind, base === undefined ? options : { ...options, weightBits: undefined, activationBits: undefined });
  const isTrust = options.recipe === 'quest-llm' && (options.weightBits ?? options.activationBits) !== undefined;
  const observed = isTrust ? [] : linearSites(float).filter((site) => bits(site).activation !== undefined);
  const batches = Array.from({ length: Math.min(summaryBatches, Math.floor(data.count / batch)) }, (_, b) => Array.from({ length: batch }, (_, i) => b * batch + i));
  const summaries = observed.length === 0 ? new Map() : await observeSummaries(float, engine, await Promise.all(batches.map(feedsOf)), [...new Set(observed.map((site) => site.input))]);
  const summaryById = new Map(observed.map((site) => [site.id, summaries.get(site.input)!]));
  const isTrusted = ({ id, kind }: Linear): boolean => (kind === 'MatMul' || kind === 'Gemm') && id !== headName && !keepsFloat(id, '', options.keep);
  if (isTrust && !linearSites(float).some(isTrusted)) throw errors.noMatrices({ model: model.name, recipe: options.recipe });
  const quantized = async (graph: Graph): Promise<QuantizationAware> => (isTrust
    ? { graph: insertTrustQuantize(graph, isTrusted, { weights: options.weightBits, activations: options.activationBits, rotate: true }), scales: [] }
    : insertFakeQuantize(graph, bits, (site) => summaryById.get(site.id)!));

  const { graph: aware, scales } = base === undefined ? await quantized(float) : { graph: base.graph, scales: [] };
  const objective = classification(aware, { logits, distill: options.distill, temperature: options.temperature });
  let adapters: readonly Adapter[] = [];
  let graph = objective.graph;
  let carry: ReadonlyMap<string, string> = new Map();
  if (options.lora === undefined) ({ graph, carry } = await trainBatchNorm(graph, { chosen: () => true }));
  else if (base === undefined) ({ graph, adapters } = insertAdapters(graph, linearSites(float), { rank: options.lora, alpha: options.loraAlpha, seed }));
  else ({ graph, adapters } = insertAdapters(graph, linearSites(graph).filter(({ id }) => base.weights.has(id)), { rank: options.lora, alpha: base.scaled ? options.loraAlpha : options.lora, seed, start: base.start }));

  const stepsPerEpoch = Math.max(1, Math.floor(data.count / (batch * accumulate)));
  const steps = options.steps ?? Math.max(1, Math.round(options.epochs * stepsPerEpoch));
  const groups = groupsOf(float, scales, adapters, { ...options, rate: options.rate ?? usualRate(model.kind, options.lora) }, steps);
  const trainer = await Trainer.open(graph, {
    engine, loss: objective.loss, carry, groups, session: { threads: options.threads },
    ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }),
  });
  const views = augmentation(options.augment, data);
  return {
    trainer, steps, stepsPerEpoch,
    tensors: base === undefined ? tensorLines(model, bits, options.weightBits) : frozenLines(model, base, options.lora!),
    async fit({ onStep, checkpoint }) {
      const teacher = options.distill > 0 ? await openGraph(float, engine) : undefined;
      try {
        await fit(trainer, {
          data, batch, steps, seed, accumulate,
          async feed({ feeds, labels }: Batch, step) {
            const bound = views(bindFeeds(feeds, source.inputs), step);
            const scores = teacher === undefined ? undefined : (await teacher.run(bindFeeds(bound, teacher.inputs)))[logits];
            return { ...bound, ...objective.feed(labels, scores) };
          },
          ...(onStep === undefined ? {} : { onStep }), ...(checkpoint === undefined ? {} : { checkpoint, checkpointEvery: options.checkpointEvery ?? Math.min(stepsPerEpoch, usualCheckpoint) }),
        });
      } finally {
        await teacher?.dispose();
      }
    },
    async finish() {
      if (base !== undefined) {
        const beside = besideAdapters(model.graph, linearSites(model.graph).filter(({ id }) => base.weights.has(id)), adapters, (name) => trainer.values(name));
        // Adapters were trained beside float inputs.
        return (await exportWeightOnly(beside, base.weights, { accuracyLevel: 0 })).graph;
      }
      const { graph: final } = await quantized(await mergeAdapters(model.graph, adapters, (name) => trainer.values(name)));
      // Constants of one graph may have the names of others in the other: only what training changed is carried over.
      const trained = trainer.graph().weights;
      const changed = new Set([...groups.flatMap(({ names }) => names), ...carry.keys()]);
      const weights = new Map([...final.weights].map(([name, weight]): [string, TensorRef] => [name, changed.has(name) ? trained.get(name)! : weight]));
      return exportTrustQuantize(await exportFakeQuantize({ ...final, weights }));
    },
  };
}

/** The rounded matrices of recipes that leave them alone; `scaled` where the product of adapters has a scale of its own. */
async function frozenBase(float: Graph, isKept: (site: Linear) => boolean, { recipe, weights, weightBits, lora }: TrainingOptions, model: string): Promise<(FrozenBase & { readonly scaled: boolean }) | undefined> {
  const rounds = weightBits === undefined ? undefined : roundsOfFrozen(recipe);
  if (rounds === undefined) return undefined;
  const sites = turnable(float).filter((site) => !isKept(site));
  if (sites.length === 0) throw errors.noMatrices({ model, recipe });
  return { ...await freezeBase(float, sites, parseFormat(weights), { rank: lora!, rounds }), scaled: rounds === 0 };
}

/** Bits of every site: the first and last layer of a network keep more, layers that are to stay float none. */
function bitsPerSite(sites: readonly Linear[], kind: SourceModel['kind'], { weightBits, activationBits, edgeBits, keep }: TrainingOptions): (site: Linear) => SiteBits {
  const edges = new Set(kind === 'lm' ? [] : [sites[0]?.id, sites.at(-1)?.id]);
  return ({ id, node }) => {
    if (keepsFloat(id, node.name, keep)) return { weight: undefined, activation: undefined };
    const raised = (bits: number | undefined): number | undefined => (bits !== undefined && edges.has(id) ? Math.max(bits, edgeBits) : bits);
    return { weight: raised(weightBits), activation: raised(activationBits) };
  };
}

function groupsOf(float: Graph, scales: readonly string[], adapters: readonly Adapter[], options: TrainingOptions & { readonly rate: number }, steps: number): ParameterGroup[] {
  const optimizer: Optimizer = { sgd: sgd({ momentum: 0.9, nesterov: true }), adam: adam(), adamw: adamw() }[options.optimizer];
  const shape: Schedule = { cosine: cosine(steps - options.warmup), linear: linear(steps - options.warmup), constant: constant() }[options.schedule];
  const schedule = options.warmup > 0 ? withWarmup(options.warmup, shape) : shape;
  const group = (names: readonly string[], decay: number): ParameterGroup => ({ names, optimizer, rate: options.rate, schedule, decay });
  if (adapters.length > 0) return [group(adapters.flatMap(({ a, b }) => [a, b]), 0), group(scales, 0)].filter(({ names }) => names.length > 0);
  const { matrices, others } = trainableWeights(float);
  return [group(matrices, options.decay), group(others, 0), group(scales, 0)].filter(({ names }) => names.length > 0);
}

function augmentation(text: string | undefined, data: Dataset): (feeds: Feeds, step: number) => Feeds {
  if (text === undefined) return (feeds) => feeds;
  const shift = /shift=(\d+)/.exec(text)?.[1];
  const options: AugmentOptions = { flip: text.includes('flip'), ...(shift === undefined ? {} : { shift: Number(shift) }) };
  const [name] = data.names;
  return (feeds, step) => {
    const key = feeds[name] === undefined ? Object.keys(feeds)[0] : name;
    return { ...feeds, [key]: augmentImages(feeds[key], step, 0, options) };
  };
}

function tensorLines({ graph }: SourceModel, bits: (site: Linear) => SiteBits, weightBits: number | undefined): TensorLine[] {
  const sites = new Map(linearSites(graph).map((site) => [site.id, site]));
  return [...graph.weights].flatMap(([name, { shape, type, byteLength }]): TensorLine[] => {
    if (!isFloatType(type as 'f32')) return [];
    const site = sites.get(name);
    const own = site === undefined || weightBits === undefined ? undefined : bits(site).weight;
    const stored = own === undefined ? undefined : own <= 4 ? 4 : 8;
    const count = shape.reduce((product, dim) => product * dim, 1);
    return [{
      name, shape, source: type, target: own === undefined ? 'f32' : `int${own}/channel`, bytesBefore: byteLength,
      bytesAfter: stored === undefined ? 4 * count : Math.ceil((count * stored) / 8) + 4 * site!.rows,
    }];
  });
}

/** Codes in place of the matrices, and the adapters beside them. */
function frozenLines({ graph }: SourceModel, { weights }: FrozenBase, rank: number): TensorLine[] {
  return [...graph.weights].flatMap(([name, { shape, type, byteLength }]): TensorLine[] => {
    if (!isFloatType(type as 'f32')) return [];
    const matrix = weights.get(name);
    const count = shape.reduce((product, dim) => product * dim, 1);
    if (matrix === undefined) return [{ name, shape, source: type, target: 'f32', bytesBefore: byteLength, bytesAfter: 4 * count }];
    const { format, rows, cols } = matrix;
    return [
      { name, shape, source: type, target: format.name, bytesBefore: byteLength, bytesAfter: Math.ceil((count * format.bitsPerWeight(rows, cols)) / 8) },
      { name: `${name}, adapters`, shape: [rank, rows + cols], source: 'none', target: 'f16', bytesBefore: 0, bytesAfter: 2 * rank * (rows + cols) },
    ];
  });
}
