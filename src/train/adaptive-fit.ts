/**
 * Joint training of a network at many bit-widths (arXiv:2502.01199, sections 3.2 and 3.3): each batch is learned at every
 * width in turn, each with a step of its own. The learning rates of quantization scales fall with the width and with the size
 * of their gradients; layers may draw their widths by how sensitive they are.
 */
import { drawWidth } from '../allocate/roulette.ts';
import type { Engine, Feeds, SessionOptions } from '../engine/session.ts';
import { i64 } from '../engine/tensor.ts';
import { extend } from '../graph/extend.ts';
import type { Graph } from '../graph/graph.ts';
import { withWeightsOf } from '../graph/rewrite.ts';
import { trainBatchNorm } from '../graph/train-batchnorm.ts';
import { uniform } from '../numeric/random.ts';
import type { Batch, Dataset } from '../observe/data/index.ts';
import { bitsInput, type AdaptiveNetwork } from './adaptive-bits.ts';
import { scaleRateFactor, widthFactor } from './adaptive-rates.ts';
import { fit, type FitOptions } from './fit.ts';
import { adam, lazy, type Optimizer } from './optimizers.ts';
import { trainableWeights } from './parameters.ts';
import { cosine, type Schedule } from './schedules.ts';
import { Trainer, type ParameterGroup } from './trainer.ts';

/** Rates of quantization scales: by width and gradient, as the paper prints it (ALRS); by width alone; that of weights. */
export type ScaleRates = 'printed' | 'width' | 'same';

export interface AdaptiveTraining {
  readonly engine: Engine;
  /** Widths by falling order, as the network has them. */
  readonly widths: readonly number[];
  /** Appends the loss. */
  objective(graph: Graph): { readonly graph: Graph; readonly loss: string };
  /** Batches; each takes one step per width. */
  readonly batches: number;
  /** Of weights; scales start from it too. */
  readonly rate: number;
  /** Default half a cosine over all steps. */
  readonly schedule?: Schedule;
  /** Default Adam; tables of which a step uses one row step lazily. */
  readonly optimizer?: Optimizer;
  /** Weight decay of matrices. */
  readonly decay?: number;
  readonly clipNorm?: number;
  readonly scaleRates: ScaleRates;
  /** Layers that draw wide widths more often; given, layers draw their own widths with a chance that rises from 0 to 1. */
  readonly sensitive?: readonly boolean[];
  readonly seed: number;
  readonly session?: SessionOptions;
}

export interface AdaptiveTrainer {
  readonly trainer: Trainer;
  /** One per batch and width. */
  readonly steps: number;
  /** What `fit` must be told for each step. */
  readonly each: Required<Pick<FitOptions, 'repeat' | 'factors'>>;
  /** What a step, counted from 0, is fed with besides the batch: the width of each layer. */
  bits(step: number): Feeds;
  /** Steps of this run at which the rate of the scales was zero. */
  still(): number;
  /** The adaptive graph with trained weights, for inference. */
  graph(): Graph;
}

export interface FitAdaptiveOptions extends AdaptiveTraining {
  readonly data: Dataset;
  /** Samples per batch. */
  readonly batch: number;
  /** Inputs and labels of the `index`-th batch. */
  feed(batch: Batch, index: number): Feeds;
}

export interface FittedAdaptive {
  /** The adaptive graph with trained weights, for inference. */
  readonly graph: Graph;
  /** Share of the steps at which the rate of the scales was zero. */
  readonly still: number;
}

/** An adaptive network of known shapes, ready for its first step; `float` is the network that it was made from. */
export async function openAdaptive(network: AdaptiveNetwork, float: Graph, options: AdaptiveTraining): Promise<AdaptiveTrainer> {
  const { engine, widths, batches, rate, seed, sensitive, optimizer = adam() } = options;
  const { layers, norms } = network;
  const { graph: whole, carry, loss } = await withStatistics(network, options.objective);
  const steps = batches * widths.length;
  const schedule = options.schedule ?? cosine(steps);
  const { matrices, others } = trainableWeights(float);
  const alive = new Set(whole.weights.keys());
  const used = new Set(whole.nodes.flatMap(({ inputs }) => inputs));
  const group = (names: readonly string[], own = optimizer, decay = 0): ParameterGroup => ({ names: names.filter((name) => alive.has(name) && used.has(name)), optimizer: own, rate, schedule, decay });
  const scales = layers.flatMap(({ scale, steps: inputs }) => [scale, inputs]);
  const trainer = await Trainer.open(whole, {
    engine, loss, carry, groups: [group(matrices, optimizer, options.decay ?? 0), group(others), group(norms, lazy(optimizer)), group(scales, lazy(optimizer))],
    ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }), ...(options.session === undefined ? {} : { session: options.session }),
  });
  const rising = [...widths].reverse();
  const bitsAt = (step: number): number[] => {
    const mixes = sensitive !== undefined && uniform(seed, 0x68617362, step) < Math.floor(step / widths.length) / batches;
    return layers.map((_, layer) => (mixes ? drawWidth(rising, sensitive[layer], uniform(seed, 0x726f756c, step * layers.length + layer)) : widths[step % widths.length]));
  };
  let still = 0;
  return {
    trainer, steps,
    bits(step) {
      const bits = bitsAt(step);
      return { [bitsInput]: i64([bits.length], bits) };
    },
    each: {
      repeat: widths.length,
      factors: (step) => (options.scaleRates === 'same' ? undefined : (gradientOf) => {
        const gradients = options.scaleRates === 'printed' ? scales.map(gradientOf) : [];
        const bits = bitsAt(step);
        // At the stored width; the others take a share of it.
        const full = scaleRateFactor(0, rate * schedule(step), gradients);
        if (full === 0) still++;
        return new Map(layers.flatMap(({ scale, steps: inputs }, layer): [string, number][] => {
          const factor = widthFactor(widths[0] - bits[layer]) * full;
          return [[scale, factor], [inputs, factor]];
        }));
      }),
    },
    still: () => still,
    graph: () => withWeightsOf(network.graph, trainer.graph()),
  };
}

/** Trains an adaptive network of known shapes from its start to its end. */
export async function fitAdaptive(network: AdaptiveNetwork, float: Graph, options: FitAdaptiveOptions): Promise<FittedAdaptive> {
  const { trainer, steps, each, bits, still, graph } = await openAdaptive(network, float, options);
  try {
    await fit(trainer, {
      ...each, data: options.data, batch: options.batch, steps, seed: options.seed,
      feed: (batch, step) => ({ ...options.feed(batch, Math.floor(step / each.repeat)), ...bits(step) }),
    });
    return { still: still() / steps, graph: graph() };
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
