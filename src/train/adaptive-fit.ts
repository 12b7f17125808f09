/**
 * Joint training of a network at many bit-widths (arXiv:2502.01199, sections 3.2 and 3.3): each batch is learned at every
 * width in turn, each with a step of its own. The learning rates of quantization scales fall with the width and with the size
 * of their gradients; layers may draw their widths by how sensitive they are.
 */
import { drawWidth } from '../allocate/roulette.ts';
import type { Engine, Feeds, SessionOptions } from '../engine/session.ts';
import { i64 } from '../engine/tensor.ts';
import type { TensorRef } from '../tensor-ref.ts';
import { extend } from '../graph/extend.ts';
import type { Graph } from '../graph/graph.ts';
import { trainBatchNorm } from '../graph/train-batchnorm.ts';
import { uniform } from '../numeric/random.ts';
import type { Batch, Dataset } from '../observe/data/index.ts';
import { bitsInput, type AdaptiveNetwork } from './adaptive-bits.ts';
import { scaleRateFactor } from './adaptive-rates.ts';
import { batchOrder } from './fit.ts';
import { adam, lazy } from './optimizers.ts';
import { trainableWeights } from './parameters.ts';
import { cosine } from './schedules.ts';
import { Trainer, type RateFactors } from './trainer.ts';

/** Rates of quantization scales: by width and gradient, as the paper prints it (ALRS); by width alone; that of weights. */
export type ScaleRates = 'printed' | 'width' | 'same';

export interface FitAdaptiveOptions {
  readonly engine: Engine;
  /** Widths by falling order, as the network has them. */
  readonly widths: readonly number[];
  /** Appends the loss. */
  objective(graph: Graph): { readonly graph: Graph; readonly loss: string };
  readonly data: Dataset;
  /** Samples per batch. */
  readonly batch: number;
  /** Batches; each takes one step per width. */
  readonly batches: number;
  feed(batch: Batch, index: number): Feeds;
  /** Of weights; scales start from it too. Falls along half a cosine. */
  readonly rate: number;
  /** Weight decay of matrices. */
  readonly decay?: number;
  readonly scaleRates: ScaleRates;
  /** Layers that draw wide widths more often; given, layers draw their own widths with a chance that rises from 0 to 1. */
  readonly sensitive?: readonly boolean[];
  readonly seed: number;
  readonly session?: SessionOptions;
  onBatch?(index: number, losses: readonly number[]): void;
}

export interface FittedAdaptive {
  /** The adaptive graph with trained weights, for inference. */
  readonly graph: Graph;
  /** Share of the steps at which the rate of the scales was zero. */
  readonly still: number;
}

/** Trains an adaptive network of known shapes. */
export async function fitAdaptive(network: AdaptiveNetwork, float: Graph, options: FitAdaptiveOptions): Promise<FittedAdaptive> {
  const { engine, widths, data, batch, batches, rate, seed, sensitive } = options;
  const { layers, norms } = network;
  const { graph: whole, carry, loss } = await withStatistics(network, options.objective);
  const schedule = cosine(batches * widths.length);
  const { matrices, others } = trainableWeights(float);
  const alive = new Set(whole.weights.keys());
  const used = new Set(whole.nodes.flatMap(({ inputs }) => inputs));
  const group = (names: readonly string[], optimizer = adam(), decay = 0) => ({ names: names.filter((name) => alive.has(name) && used.has(name)), optimizer, rate, schedule, decay });
  const scales = layers.flatMap(({ scale, steps }) => [scale, steps]);
  const trainer = await Trainer.open(whole, {
    engine, loss, carry, groups: [group(matrices, adam(), options.decay ?? 0), group(others), group(norms, lazy(adam())), group(scales, lazy(adam()))],
    ...(options.session === undefined ? {} : { session: options.session }),
  });
  const order = batchOrder(data.count, batch, seed);
  const rising = [...widths].reverse();
  let still = 0;
  try {
    for (let index = 0; index < batches; index++) {
      const feeds = options.feed(await data.batch(order(index)), index);
      const losses: number[] = [];
      for (const [turn, width] of widths.entries()) {
        const step = index * widths.length + turn;
        const mixes = sensitive !== undefined && uniform(seed, 0x68617362, step) < index / batches;
        const bits = layers.map((_, layer) => (mixes ? drawWidth(rising, sensitive[layer], uniform(seed, 0x726f756c, step * layers.length + layer)) : width));
        const factors: RateFactors | undefined = options.scaleRates === 'same' ? undefined : (gradientOf) => {
          const gradients = options.scaleRates === 'printed' ? scales.map(gradientOf) : [];
          if (scaleRateFactor(0, rate * schedule(step), gradients) === 0) still++;
          return new Map(layers.flatMap(({ scale, steps }, layer): [string, number][] => {
            const factor = scaleRateFactor(widths[0] - bits[layer], rate * schedule(step), gradients);
            return [[scale, factor], [steps, factor]];
          }));
        };
        losses.push((await trainer.step({ ...feeds, [bitsInput]: i64([bits.length], bits) }, factors)).loss);
      }
      options.onBatch?.(index, losses);
    }
    const trained = trainer.graph().weights;
    return {
      still: still / (batches * widths.length),
      graph: { ...network.graph, weights: new Map([...network.graph.weights].map(([name, weight]): [string, TensorRef] => [name, trained.get(name) ?? weight])) },
    };
  } finally {
    await trainer.dispose();
  }
}

/** Loss, batch statistics, and what the rows of their tables become: only the row in use moves. */
async function withStatistics(network: AdaptiveNetwork, objective: FitAdaptiveOptions['objective']): Promise<{ readonly graph: Graph; readonly carry: ReadonlyMap<string, string>; readonly loss: string }> {
  const { graph: ending, loss } = objective(network.graph);
  const { graph, carry: next } = await trainBatchNorm(ending, { chosen: () => true });
  const tables = new Map(network.statistics.map((one) => [one.inUse, one]));
  const plain = [...next].filter(([name]) => !tables.has(name));
  const { graph: whole, result } = extend(graph, (tape) => network.statistics.map(({ table, inUse, row }): [string, string] => {
    const moved = tape.op('Unsqueeze', [tape.op('Sub', [next.get(inUse)!, inUse]), tape.ints([0])]);
    return [table, tape.op('Add', [table, tape.op('MatMul', [tape.op('Transpose', [row]), moved])])];
  }));
  return { graph: whole, loss, carry: new Map([...plain, ...result]) };
}
