/**
 * Images from a small generator that is trained until what a network sees has the statistics of its training data
 * (GENIE-D, arXiv:2212.04780, section 3.2). Latents and generator learn together, anew for every batch; statistics are
 * those of the batch.
 */
import type { Engine } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { floatTensor } from '../tensor-ref.ts';
import { bindToShapes } from '../graph/bind.ts';
import { float, int, ints, string } from '../graph/build.ts';
import { extend } from '../graph/extend.ts';
import { GraphTape, type Tape } from '../graph/gradient/tape.ts';
import type { Graph } from '../graph/graph.ts';
import { freshNames, removeDeadNodes } from '../graph/rewrite.ts';
import { sortNodes } from '../graph/traverse.ts';
import { normal, uniform } from '../numeric/random.ts';
import { joinRows } from '../observe/data/dataset.ts';
import { swingConvolutions } from '../transform/swing-convolution.ts';
import type { Distilled } from './batchnorm-data.ts';
import { adam } from './optimizers.ts';
import { exponential, Plateau } from './schedules.ts';
import { statisticsDistance, storedStatistics } from './statistics-loss.ts';
import { Trainer } from './trainer.ts';

export interface GenerateOptions {
  readonly engine: Engine;
  /** Images in all; default 128. */
  readonly count?: number;
  /** Images that share a generator, at least 2; default 128. */
  readonly batch?: number;
  /** Steps per batch; default 4000 as published. */
  readonly iterations?: number;
  /** Channels of the generator's two inner maps; default 128 and 64 as published. */
  readonly widths?: readonly [number, number];
  /** Random offsets before strided convolutions; default true. */
  readonly swing?: boolean;
  readonly seed?: number;
  readonly threads?: number;
  onStep?(step: number, loss: number): void;
}

const latents = 256;
/** Learning rates at the start: latents wait for the loss to stop falling, the generator's shrink steadily. */
const rates = { latents: 0.1, generator: 0.01 } as const;

/** Images for a network with one image input and batch normalization that is not folded. */
export async function generateImages(graph: Graph, shape: readonly [channels: number, height: number, width: number], options: GenerateOptions): Promise<Distilled> {
  const { count = 128, batch = 128, seed = 0 } = options;
  const parts: Tensor[] = [];
  const losses: number[] = [];
  for (let done = 0; done < count; done += batch) {
    // The statistics of a batch of one would be its own.
    const part = await generateBatch(graph, shape, Math.max(2, Math.min(batch, count - done)), { ...options, seed: seed + parts.length * 7919 });
    parts.push(part.images);
    losses.push(...part.losses);
  }
  return { images: joinRows('generated', 'image', parts), losses };
}

async function generateBatch(graph: Graph, shape: readonly [number, number, number], count: number, options: GenerateOptions): Promise<Distilled> {
  const { engine, iterations = 4000, widths = [128, 64], swing = true, seed = 0, threads = 1 } = options;
  const [{ name: input }] = graph.inputs;
  const bound = await bindToShapes(graph, new Map([[input, [count, ...shape]]]));
  const swinging = swing ? swingConvolutions(bound) : { graph: bound, offsets: () => ({}) };
  const { graph: whole, generator, latent } = prependGenerator(swinging.graph, input, [count, ...shape], widths, seed);
  const { graph: withLoss, result: loss } = await appendBatchLoss(whole, input, count);
  // The published run looks a hundred times for progress in 4000 steps: shorter runs keep the proportion.
  const patience = Math.max(5, Math.round(iterations / 40));
  const plateau = new Plateau({ factor: 0.1, patience, floor: 1e-3 });
  const trainer = await Trainer.open(removeDeadNodes({ ...withLoss, outputs: [{ name: loss, type: 'f32', shape: [] }] }), {
    engine, loss, session: { threads }, watch: [input],
    groups: [
      { names: [latent], optimizer: adam(), rate: rates.latents, schedule: () => plateau.rate },
      { names: generator, optimizer: adam(), rate: rates.generator, schedule: exponential(0.95, patience) },
    ],
  });
  const losses: number[] = [];
  let images: Tensor | undefined;
  try {
    for (let step = 0; step < iterations; step++) {
      const { loss: value, watched } = await trainer.step(swinging.offsets(seed, step));
      plateau.observe(value);
      losses.push(value);
      images = watched[input];
      options.onStep?.(step + 1, value);
    }
    return { images: images!, losses };
  } finally {
    await trainer.dispose();
  }
}

/** The network with its input made by a generator; parameters start as uniform as the fan-in asks. */
export function prependGenerator(
  graph: Graph, input: string, [count, channels, height, width]: readonly [number, number, number, number], [wide, narrow]: readonly [number, number], seed: number,
): { readonly graph: Graph; readonly generator: readonly string[]; readonly latent: string } {
  const tape = new GraphTape(freshNames(graph));
  const generator: string[] = [];
  const parameter = (name: string, shape: readonly number[], fan: number): string => {
    const [bound, stream] = [1 / Math.sqrt(fan), 0x67656e + generator.length];
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => bound * (2 * uniform(seed, stream, i) - 1));
    const own = tape.weight(floatTensor(`generator/${name}`, shape, values));
    generator.push(own);
    return own;
  };
  const learned = (name: string, size: number, value: number): string => {
    const own = tape.weight(floatTensor(`generator/${name}`, [size], new Float32Array(size).fill(value)));
    generator.push(own);
    return own;
  };
  const constant = (name: string, size: number, value: number): string => tape.weight(floatTensor(`generator/${name}`, [size], new Float32Array(size).fill(value)));
  const normalised = (x: string, name: string, size: number, scale: string, shift: string): string =>
    tape.op('BatchNormalization', [x, scale, shift, constant(`${name}_mean`, size, 0), constant(`${name}_variance`, size, 1)], { training_mode: int(1), epsilon: float(1e-5) });
  const doubled = (x: string): string => tape.op('Resize', [x, '', scales], { mode: string('nearest'), coordinate_transformation_mode: string('asymmetric'), nearest_mode: string('floor') });
  const convolved = (x: string, name: string, from: number, to: number): string =>
    tape.op('Conv', [x, parameter(`${name}_weight`, [to, from, 3, 3], 9 * from), parameter(`${name}_bias`, [to], 9 * from)], { pads: ints([1, 1, 1, 1]), kernel_shape: ints([3, 3]) });
  const scales = tape.weight(floatTensor('generator/scales', [4], Float32Array.of(1, 1, 2, 2)));
  const [rows, cols] = [Math.ceil(height / 4), Math.ceil(width / 4)];
  const latent = tape.weight(floatTensor('generator/latents', [count, latents], Float32Array.from({ length: count * latents }, (_, i) => normal(seed, 0x6c6174, i))));

  const size = wide * rows * cols;
  const flat = tape.op('Gemm', [latent, parameter('linear_weight', [latents, size], latents), parameter('linear_bias', [size], latents)]);
  const first = normalised(tape.op('Reshape', [flat, tape.ints([count, wide, rows, cols])]), 'first', wide, learned('first_scale', wide, 1), learned('first_shift', wide, 0));
  const second = normalised(convolved(doubled(first), 'middle', wide, narrow), 'second', narrow, learned('second_scale', narrow, 1), learned('second_shift', narrow, 0));
  const drawn = tape.op('Tanh', [cropped(tape, convolved(doubled(tape.op('LeakyRelu', [second], { alpha: float(0.2) })), 'last', narrow, channels), height, width)]);
  const image = normalised(drawn, 'image', channels, constant('image_scale', channels, 1), constant('image_shift', channels, 0));
  tape.named('Identity', [image], input);
  const next: Graph = {
    ...graph, inputs: graph.inputs.filter(({ name }) => name !== input), nodes: [...tape.take(), ...graph.nodes],
    weights: new Map([...graph.weights, ...tape.weights]),
  };
  return { graph: { ...next, nodes: sortNodes(next) }, generator, latent };
}

/** Sizes that four does not divide are drawn larger and cut. */
const cropped = (tape: Tape, x: string, height: number, width: number): string =>
  (height % 4 === 0 && width % 4 === 0 ? x : tape.op('Slice', [x, tape.ints([0, 0]), tape.ints([height, width]), tape.ints([2, 3])]));

/** Σ over layers of the distances of the batch's statistics, divided by channels; images are held to mean 0, deviation 1. */
async function appendBatchLoss(graph: Graph, input: string, count: number): Promise<{ readonly graph: Graph; readonly result: string }> {
  const stored = await storedStatistics({ ...graph, nodes: graph.nodes.filter(({ attributes }) => attributes.training_mode === undefined || attributes.training_mode.value === 0) });
  return extend(graph, (tape) => {
    const terms = stored.map(({ value, mean, deviation }) => {
      const target = (name: string, values: Float32Array): string => tape.weight(floatTensor(`${value}/${name}`, [values.length], values));
      return statisticsDistance(tape, value, target('mean', mean), target('deviation', deviation), { axes: [0, 2, 3], factor: 1 / mean.length });
    });
    terms.push(statisticsDistance(tape, input, tape.constant(0), tape.constant(1), { axes: [2, 3], factor: 1 / count }));
    return tape.op('Sum', terms);
  });
}
