/** Next-token training of a language model, by the recipe that small Llama models are usually trained with. */
import type { Engine, Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { lower } from '../graph/composite.ts';
import { bindDimensions } from '../graph/bind.ts';
import type { Graph } from '../graph/graph.ts';
import { withOutputs } from '../graph/outputs.ts';
import type { Batch, Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';
import { composites } from './composites/index.ts';
import { classification } from './objective.ts';
import { adamw } from './optimizers.ts';
import { trainableWeights } from './parameters.ts';
import { cosine, withWarmup } from './schedules.ts';
import { Trainer } from './trainer.ts';

export interface LanguageTraining {
  readonly engine: Engine;
  /** Windows per step, and tokens per window. */
  readonly batch: number;
  readonly window: number;
  readonly steps: number;
  /** Highest learning rate; it rises over the first tenth and falls to zero along a cosine. */
  readonly rate: number;
  /** Puts quantizers into the graph; what is trained are the weights before them. */
  readonly quantize?: ((graph: Graph) => Graph) | undefined;
  /** Of matrices; default 0.1. */
  readonly decay?: number;
  /** Share of the loss that is learned from the scores of another model; default 0. */
  readonly distill?: number;
  readonly threads?: number;
}

export interface LanguageTrainer {
  readonly trainer: Trainer;
  readonly loss: string;
  /** `teacher` holds scores [batch · window, vocabulary]. */
  feed(batch: Batch & { readonly teacher?: Tensor }): Feeds;
}

/** A float graph `input_ids` [batch, sequence] → logits, ready for its first step. */
export async function openLanguageTrainer(graph: Graph, { engine, batch, window, steps, rate, quantize, decay = 0.1, distill = 0, threads = 1 }: LanguageTraining): Promise<LanguageTrainer> {
  const [input] = graph.inputs;
  const { matrices, others } = trainableWeights(graph);
  const bound = await bindDimensions(quantize?.(graph) ?? graph, { batch, sequence: window });
  const objective = classification(bound, { logits: bound.outputs[0].name, distill });
  const warmup = Math.ceil(steps / 10);
  const group = (names: readonly string[], own: number) => ({
    names, optimizer: adamw({ beta1: 0.9, beta2: 0.95 }), rate, decay: own, schedule: withWarmup(warmup, cosine(steps - warmup)),
  });
  const trainer = await Trainer.open(objective.graph, {
    engine, loss: objective.loss, groups: [group(matrices, decay), group(others, 0)], clipNorm: 1, session: { threads },
  });
  return { trainer, loss: objective.loss, feed: ({ feeds, labels, teacher }) => ({ [input.name]: feeds.input_ids, ...objective.feed(labels, teacher) }) };
}

/** Mean loss, in nats per token, of the trained graph over whole batches of a data set. */
export async function languageLoss({ trainer, loss, feed }: LanguageTrainer, data: Dataset, { engine, batch, threads = 1 }: Pick<LanguageTraining, 'engine' | 'batch' | 'threads'>): Promise<number> {
  const graph = trainer.graph();
  const session = await openGraph(lower(await withOutputs({ ...graph, outputs: [] }, [loss]), composites), engine, { threads });
  try {
    let sum = 0;
    const count = Math.floor(data.count / batch);
    for (let index = 0; index < count; index++) {
      const feeds = feed(await data.batch(Array.from({ length: batch }, (_, i) => index * batch + i)));
      sum += Number((await session.run(feeds, [loss]))[loss].data[0]);
    }
    return sum / count;
  } finally {
    await session.dispose();
  }
}
