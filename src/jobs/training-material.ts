/** What every kind of training starts from: the network at the shapes of a batch, samples as feeds, and the loop over them. */
import type { Engine, Feeds } from '../engine/session.ts';
import { bindFeeds } from '../evaluate/feeds.ts';
import { bindToShapes } from '../graph/bind.ts';
import type { Graph } from '../graph/graph.ts';
import type { Batch, Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';
import { augmentImages, type AugmentOptions } from '../train/augment.ts';
import { fit, type FitOptions } from '../train/fit.ts';
import type { Objective } from '../train/objective.ts';
import { adam, adamw, sgd, type Optimizer } from '../train/optimizers.ts';
import type { ActivationSummary } from '../train/quantization-aware.ts';
import { constant, cosine, linear, withWarmup, type Schedule } from '../train/schedules.ts';
import { observeSummaries } from '../train/summaries.ts';
import type { Trainer } from '../train/trainer.ts';
import type { FinetuneSettings } from './finetune-settings.ts';
import type { SourceModel } from './source.ts';
import type { FitHooks } from './training.ts';

type MaterialOptions = Pick<FinetuneSettings, 'batch' | 'distill' | 'augment' | 'checkpointEvery' | 'seed'> & { readonly engine: Engine };

interface LoopOptions extends FitHooks, Pick<FitOptions, 'steps' | 'repeat' | 'factors'> {
  /** What a step is fed with besides samples. */
  more?(step: number): Feeds;
}

export interface Material {
  readonly float: Graph;
  readonly logits: string;
  readonly stepsPerEpoch: number;
  /** What values look like on the first batches. */
  summaries(values: readonly string[]): Promise<ReadonlyMap<string, ActivationSummary>>;
  /** Trains until the steps are taken. */
  loop(trainer: Trainer, objective: Objective, options: LoopOptions): Promise<void>;
}

/** Batches that say where step sizes start. */
const summaryBatches = 4;
/** Windows of text are long: few of them fill memory and time as many images do. */
const usualBatch: Readonly<Record<SourceModel['kind'], number>> = { lm: 8, onnx: 64 };
/** Steps that an interruption costs at most. */
const usualCheckpoint = 200;

export async function materialOf(model: SourceModel, data: Dataset, options: MaterialOptions): Promise<Material> {
  const { engine, seed } = options;
  const source = model.language?.graph() ?? model.graph;
  const fixed = source.inputs[0]?.shape?.[0];
  const wanted = options.batch ?? usualBatch[model.kind];
  const batch = Math.min(typeof fixed === 'number' ? fixed : wanted, data.count);
  // Gradients of so many batches are added up where the network takes fewer samples at a time than were asked for.
  const accumulate = Math.max(1, Math.round(wanted / batch));
  const feedsOf = async (indices: readonly number[]): Promise<Feeds> => bindFeeds((await data.batch(indices)).feeds, source.inputs);
  const batches = Array.from({ length: Math.max(1, Math.min(summaryBatches, Math.floor(data.count / batch))) }, (_, b) => Array.from({ length: batch }, (_, i) => b * batch + i));
  const first = await feedsOf(batches[0]);
  // Not folded: a tied head, the transpose of the embedding table, must stay that and be trained with it.
  const float = await bindToShapes(source, new Map(Object.entries(first).map(([name, { shape }]) => [name, shape])));
  const [{ name: logits }] = float.outputs;
  const stepsPerEpoch = Math.max(1, Math.floor(data.count / (batch * accumulate)));
  const views = augmentation(options.augment, data);
  return {
    float, logits, stepsPerEpoch,
    summaries: async (values) => (values.length === 0 ? new Map() : observeSummaries(float, engine, await Promise.all(batches.map(feedsOf)), [...new Set(values)])),
    async loop(trainer, objective, { steps, repeat = 1, factors, more, onStep, checkpoint }) {
      const teacher = options.distill > 0 ? await openGraph(float, engine) : undefined;
      try {
        await fit(trainer, {
          data, batch, steps, seed, accumulate, repeat, ...(factors === undefined ? {} : { factors }),
          async feed({ feeds, labels }: Batch, step) {
            const bound = views(bindFeeds(feeds, source.inputs), Math.floor(step / repeat));
            const scores = teacher === undefined ? undefined : (await teacher.run(bindFeeds(bound, teacher.inputs)))[logits];
            return { ...bound, ...objective.feed(labels, scores), ...more?.(step) };
          },
          ...(onStep === undefined ? {} : { onStep }),
          ...(checkpoint === undefined ? {} : { checkpoint, checkpointEvery: options.checkpointEvery ?? Math.min(stepsPerEpoch * repeat, usualCheckpoint) }),
        });
      } finally {
        await teacher?.dispose();
      }
    },
  };
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

/** The optimizer and the course of the learning rate over so many steps, as settings name them. */
export function ratesOf({ optimizer, schedule, warmup }: Pick<FinetuneSettings, 'optimizer' | 'schedule' | 'warmup'>, steps: number): { readonly optimizer: Optimizer; readonly schedule: Schedule } {
  const shape: Schedule = { cosine: cosine(steps - warmup), linear: linear(steps - warmup), constant: constant() }[schedule];
  return { optimizer: { sgd: sgd({ momentum: 0.9, nesterov: true }), adam: adam(), adamw: adamw() }[optimizer], schedule: warmup > 0 ? withWarmup(warmup, shape) : shape };
}
