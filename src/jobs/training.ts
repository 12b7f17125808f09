/** A source model and a request for training brought together: the step graph, and the way back. */
import type { Engine } from '../engine/session.ts';
import { defineErrors } from '../errors.ts';
import type { Tensor } from '../engine/tensor.ts';
import { exportFakeQuantize } from '../export/onnx-fake-quantize.ts';
import { exportTrustQuantize } from '../export/onnx-trust-quantize.ts';
import { exportWeightOnly } from '../export/onnx-weight-only.ts';
import { parseFormat } from '../formats/registry.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { trainBatchNorm } from '../graph/train-batchnorm.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites, type Linear } from '../graph/linear.ts';
import { headName } from '../models/llama-weights.ts';
import type { Dataset } from '../observe/data/index.ts';
import { insertAdapters, mergeAdapters, type Adapter } from '../train/adapters.ts';
import { besideAdapters, freezeBase, type FrozenBase } from '../train/frozen-base.ts';
import { classification } from '../train/objective.ts';
import { trainableWeights } from '../train/parameters.ts';
import { insertFakeQuantize, type QuantizationAware, type SiteBits } from '../train/quantization-aware.ts';
import { Trainer, type ParameterGroup } from '../train/trainer.ts';
import { insertTrustQuantize } from '../train/trust-quantization.ts';
import { turnable } from '../transform/rotate.ts';
import { roundsOfFrozen, type FinetuneSettings } from './finetune-settings.ts';
import { prepareAdaptive } from './adaptive-training.ts';
import { keepsFloat } from './keep.ts';
import { refuseUnknown } from './layer-formats.ts';
import type { TensorLine } from './result.ts';
import type { SourceModel } from './source.ts';
import { frozenLines, integerLines } from './training-lines.ts';
import { materialOf, ratesOf } from './training-material.ts';

export interface TrainingOptions extends Pick<FinetuneSettings,
  'recipe' | 'weights' | 'widths' | 'edgeBits' | 'keep' | 'epochs' | 'steps' | 'batch' | 'rate' | 'optimizer' | 'schedule' | 'warmup' | 'decay' | 'clipNorm' | 'distill' | 'temperature' | 'augment' | 'lora' | 'loraAlpha' | 'checkpointEvery' | 'seed' | 'threads'> {
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
  fit(hooks: FitHooks): Promise<void>;
  /** The files that the trained model is written as. */
  finish(): Promise<readonly TrainedGraph[]>;
}

export interface TrainedGraph {
  readonly graph: Graph;
  /** What the weights became. */
  readonly tensors: TensorLine[];
  /** True where an input chooses the widths of layers, so that data alone cannot run it. */
  readonly isSwitched?: boolean;
}

/** Language models take smaller steps, adapters do not. */
const usualRate = (kind: SourceModel['kind'], lora: number | undefined): number => (kind === 'lm' && lora === undefined ? 3e-4 : 1e-3);

const errors = defineErrors('training', {
  noMatrices: (f: { model: string; recipe: string }) => [`${f.model} has no matrix products for ${f.recipe} to train`, 'use --recipe lsq, which quantizes convolutions too'],
});

export async function prepareTraining(model: SourceModel, data: Dataset, options: TrainingOptions): Promise<Prepared> {
  refuseUnknown(model, { keep: options.keep, to: ['onnx'] });
  if (options.recipe === 'double-rounding') return prepareAdaptive(model, data, options);
  const { engine, seed } = options;
  const material = await materialOf(model, data, options);
  const { float, logits, stepsPerEpoch } = material;

  const isKept = ({ id, node }: Linear): boolean => keepsFloat(id, node.name, options.keep);
  const base = await frozenBase(float, isKept, options, model.name);
  const bits = bitsPerSite(linearSites(float), model.kind, base === undefined ? options : { ...options, weightBits: undefined, activationBits: undefined });
  const isTrust = options.recipe === 'quest-llm' && (options.weightBits ?? options.activationBits) !== undefined;
  const observed = isTrust ? [] : linearSites(float).filter((site) => bits(site).activation !== undefined);
  const summaries = await material.summaries(observed.map((site) => site.input));
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

  const steps = options.steps ?? Math.max(1, Math.round(options.epochs * stepsPerEpoch));
  const groups = groupsOf(float, scales, adapters, { ...options, rate: options.rate ?? usualRate(model.kind, options.lora) }, steps);
  const trainer = await Trainer.open(graph, {
    engine, loss: objective.loss, carry, groups, session: { threads: options.threads },
    ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }),
  });
  return {
    trainer, steps, stepsPerEpoch,
    fit: (hooks) => material.loop(trainer, objective, { ...hooks, steps }),
    async finish() {
      if (base !== undefined) {
        const beside = besideAdapters(model.graph, linearSites(model.graph).filter(({ id }) => base.weights.has(id)), adapters, (name) => trainer.values(name));
        // Adapters were trained beside float inputs.
        return [{ graph: (await exportWeightOnly(beside, base.weights, { accuracyLevel: 0 })).graph, tensors: frozenLines(model, base, options.lora!) }];
      }
      const { graph: final } = await quantized(await mergeAdapters(model.graph, adapters, (name) => trainer.values(name)));
      // Constants of one graph may have the names of others in the other: only what training changed is carried over.
      const trained = trainer.graph().weights;
      const changed = new Set([...groups.flatMap(({ names }) => names), ...carry.keys()]);
      const weights = new Map([...final.weights].map(([name, weight]): [string, TensorRef] => [name, changed.has(name) ? trained.get(name)! : weight]));
      return [{ graph: await exportTrustQuantize(await exportFakeQuantize({ ...final, weights })), tensors: integerLines(model, (site) => bits(site).weight) }];
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
  const rates = ratesOf(options, steps);
  const group = (names: readonly string[], decay: number): ParameterGroup => ({ names, ...rates, rate: options.rate, decay });
  if (adapters.length > 0) return [group(adapters.flatMap(({ a, b }) => [a, b]), 0), group(scales, 0)].filter(({ names }) => names.length > 0);
  const { matrices, others } = trainableWeights(float);
  return [group(matrices, options.decay), group(others, 0), group(scales, 0)].filter(({ names }) => names.length > 0);
}
