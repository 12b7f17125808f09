/**
 * Images made from what a network remembers of its training data: pixels are moved until the inputs of every batch
 * normalization have the mean and deviation that it stored (ZeroQ, arXiv:2001.00281, section 3.1). Statistics are those of
 * each image on its own.
 */
import type { Engine } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { floatTensor } from '../tensor-ref.ts';
import { bindToShapes } from '../graph/bind.ts';
import { extend } from '../graph/extend.ts';
import type { Graph } from '../graph/graph.ts';
import { removeDeadNodes } from '../graph/rewrite.ts';
import { normal } from '../numeric/random.ts';
import { adam } from './optimizers.ts';
import { Plateau } from './schedules.ts';
import { statisticsDistance, storedStatistics } from './statistics-loss.ts';
import { Trainer } from './trainer.ts';

export interface DistillOptions {
  readonly engine: Engine;
  /** Images; default 32. */
  readonly count?: number;
  /** Steps of Adam; default 500. */
  readonly iterations?: number;
  readonly seed?: number;
  readonly threads?: number;
  onStep?(step: number, loss: number): void;
}

export interface Distilled {
  /** [count, channels, height, width] */
  readonly images: Tensor;
  readonly losses: readonly number[];
}

/** Images for a network with one image input and batch normalization that is not folded. */
export async function distilImages(graph: Graph, shape: readonly [channels: number, height: number, width: number], options: DistillOptions): Promise<Distilled> {
  const { engine, count = 32, iterations = 500, seed = 0, threads = 1 } = options;
  const [{ name: input }] = graph.inputs;
  const bound = await bindToShapes(graph, new Map([[input, [count, ...shape]]]));
  const { graph: withLoss, result: loss } = await appendStatisticsLoss(bound, input, count);
  const start: Tensor = { type: 'f32', shape: [count, ...shape], data: Float32Array.from({ length: count * shape[0] * shape[1] * shape[2] }, (_, i) => normal(seed, 0x626e73, i)) };
  const plateau = new Plateau({ factor: 0.1, patience: 100, floor: 2e-4 });
  const trainer = await Trainer.open(removeDeadNodes({ ...withLoss, outputs: [{ name: loss, type: 'f32', shape: [] }] }), {
    engine, loss, initial: new Map([[input, start]]), session: { threads },
    groups: [{ names: [input], optimizer: adam(), rate: 0.5, schedule: () => plateau.rate }],
  });
  const losses: number[] = [];
  try {
    for (let step = 0; step < iterations; step++) {
      const { loss: value } = await trainer.step({});
      plateau.observe(value);
      losses.push(value);
      options.onStep?.(step + 1, value);
    }
    return { images: { ...start, data: trainer.values(input).slice() }, losses };
  } finally {
    await trainer.dispose();
  }
}

/** Σ over layers of the squared distances of means and deviations, per image; the image itself is held to mean 0, deviation 1. */
async function appendStatisticsLoss(graph: Graph, input: string, count: number): Promise<{ readonly graph: Graph; readonly result: string }> {
  const stored = await storedStatistics(graph);
  return extend(graph, (tape) => {
    const each = { axes: [2, 3], factor: 1 / count };
    const terms = stored.map(({ value, mean, deviation }) => {
      const target = (name: string, values: Float32Array): string => tape.weight(floatTensor(`${value}/${name}`, [1, values.length], values));
      return statisticsDistance(tape, value, target('mean', mean), target('deviation', deviation), each);
    });
    terms.push(statisticsDistance(tape, input, tape.constant(0), tape.constant(1), each));
    return tape.op('Sum', terms);
  });
}
