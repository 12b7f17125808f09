/**
 * The training loop: batches in a seeded order that is a function of the step alone, so that a run continues from a
 * checkpoint as if it had never stopped.
 */
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { permutation } from '../numeric/random.ts';
import type { Batch, Dataset } from '../observe/data/index.ts';
import type { RateFactors, Trainer } from './trainer.ts';

export interface FitOptions {
  readonly data: Dataset;
  /** Samples per step; what is left over at the end of an epoch waits for the next. */
  readonly batch: number;
  /** Steps in all, those before a checkpoint included. */
  readonly steps: number;
  readonly seed?: number;
  /** Batches whose gradients are added up for one step; default 1. */
  readonly accumulate?: number;
  /** Steps in a row that learn from the same batches; default 1. */
  readonly repeat?: number;
  /** What the step graph is fed with for a batch: inputs, labels, random masks. */
  feed(batch: Batch, step: number): Feeds | Promise<Feeds>;
  /** Factors on the learning rates of a step, counted from 0. */
  factors?(step: number): RateFactors | undefined;
  onStep?(step: number, loss: number, gradientNorm: number): void;
  /** Judges the state after every `evaluateEvery` steps; smaller is better. */
  readonly evaluate?: (trainer: Trainer) => Promise<number>;
  readonly evaluateEvery?: number;
  /** Evaluations without improvement after which training stops. */
  readonly patience?: number;
  /** Receives the state every `checkpointEvery` steps. */
  readonly checkpoint?: (state: ReadonlyMap<string, Tensor>) => Promise<void>;
  readonly checkpointEvery?: number;
}

export interface Fitted {
  /** Loss of every step that this call took. */
  readonly losses: readonly number[];
  readonly evaluations: readonly { readonly step: number; readonly value: number }[];
  /** True when `patience` ended it. */
  readonly stopped: boolean;
}

const errors = defineErrors('fit', {
  tooFew: (f: { count: number; batch: number }) => [`${f.count} samples do not fill one batch of ${f.batch}`, 'give more data or a smaller --batch'],
});

/** Sample numbers of the `index`-th batch since the start; every epoch has its own order. */
export function batchOrder(count: number, batch: number, seed: number): (index: number) => number[] {
  const perEpoch = Math.floor(count / batch);
  if (perEpoch === 0) throw errors.tooFew({ count, batch });
  let epoch = -1;
  let order = new Uint32Array(0) as Uint32Array;
  return (index) => {
    const wanted = Math.floor(index / perEpoch);
    if (wanted !== epoch) {
      epoch = wanted;
      order = permutation(seed, wanted, count);
    }
    const at = (index % perEpoch) * batch;
    return [...order.subarray(at, at + batch)];
  };
}

/** Trains until `steps` are taken, from wherever the trainer stands. */
export async function fit(trainer: Trainer, options: FitOptions): Promise<Fitted> {
  const { data, batch, steps, seed = 0, accumulate = 1, repeat = 1 } = options;
  const indices = batchOrder(data.count, batch, seed);
  const losses: number[] = [];
  const evaluations: { step: number; value: number }[] = [];
  let best = Infinity;
  let waited = 0;
  while (trainer.steps < steps) {
    const step = trainer.steps;
    let loss = 0;
    let norm = 0;
    for (let part = 0; part < accumulate; part++) {
      const samples = await data.batch(indices(Math.floor(step / repeat) * accumulate + part));
      const result = await trainer.accumulate(await options.feed(samples, step));
      loss += result.loss / accumulate;
      norm = result.gradientNorm;
    }
    trainer.update(options.factors?.(step));
    losses.push(loss);
    options.onStep?.(trainer.steps, loss, norm);
    if (options.checkpoint !== undefined && trainer.steps % (options.checkpointEvery ?? 100) === 0) await options.checkpoint(trainer.state());
    if (options.evaluate === undefined || (trainer.steps % (options.evaluateEvery ?? 100) !== 0 && trainer.steps < steps)) continue;
    const value = await options.evaluate(trainer);
    evaluations.push({ step: trainer.steps, value });
    if (value < best) {
      best = value;
      waited = 0;
    } else if (options.patience !== undefined && ++waited >= options.patience) return { losses, evaluations, stopped: true };
  }
  return { losses, evaluations, stopped: false };
}
