/** One block of a reconstruction: the graph whose loss is the distance from the float block, its training, its codes. */
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Quantized } from '../formats/format.ts';
import { floatTensor } from '../tensor-ref.ts';
import { int } from '../graph/build.ts';
import { compositeDomain } from '../graph/composite.ts';
import { GraphTape } from '../graph/gradient/tape.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { readFloats } from '../graph/values.ts';
import { coinFlips } from '../numeric/random.ts';
import { appendFakeQuantize } from './composites/fake-quantize.ts';
import { roundingRegulariser } from './composites/rounding-regulariser.ts';
import { batchOrder } from './fit.ts';
import { channelSquare } from './losses.ts';
import { adam, inUnits } from './optimizers.ts';
import type { BlockContext, ReconstructOptions } from './reconstruct.ts';
import { drawRows, mixed } from './samples.ts';
import { cosine } from './schedules.ts';
import type { ValueQuantizer } from './simulate.ts';
import { appendSoftWeight, roundingIsPushed, roundingTemperature, softRound, type SoftWeight } from './soft-rounding.ts';
import { Trainer, type ParameterGroup } from './trainer.ts';

/** Squared distance of the block's outputs, summed over channels, averaged over the rest, on the network so far. */
export interface BlockResult {
  readonly name: string;
  /** Weights rounded to nearest, steps where they started. */
  readonly nearest: number;
  /** Before the roundings were forced to 0 and 1, and after. */
  readonly soft: number;
  readonly hard: number;
  /** Share of roundings between 0.05 and 0.95 at the end of training. */
  readonly undecided: number;
}

export interface TrainedBlock {
  readonly result: BlockResult;
  /** By weight id. */
  readonly codes: ReadonlyMap<string, Quantized>;
  /** Learned steps by value. */
  readonly steps: ReadonlyMap<string, ValueQuantizer>;
}

/** Share of themselves by which scales and steps may move in one step, at the start of their cosine. */
const scaleRate = 2e-3;
const stepRate = 2e-3;
/** Samples on which the block is measured before and after. */
const measuredSamples = 128;
/** Far enough for h to be 0 or 1 exactly. */
const decided = 20;

/** 20,000 steps of 0.001 as published; fewer steps are longer, so that roundings still arrive at 0 and 1. */
export const roundingRate = (iterations: number): number => Math.min(0.1, Math.max(1e-3, 20 / iterations));

/** Trains one block. Whatever came out worse than rounding to nearest is dropped for it. */
export async function trainBlock(context: BlockContext, options: ReconstructOptions, index: number): Promise<TrainedBlock> {
  const { iterations = 1000, batch: wanted = 32, seed = 0, push = 1, threads = 1 } = options;
  const { graph, soft, steps, masks, loss } = await lossGraph(context, options);
  const rounding = soft.map((weight) => weight.rounding);
  const single = (name: string, rate: number): ParameterGroup => ({ names: [name], optimizer: adam(), rate, schedule: cosine(iterations) });
  const trainer = await Trainer.open(graph, {
    engine: options.engine, loss, session: { threads },
    groups: [
      ...soft.map(({ rounding: name, steps: own }) => ({ names: [name], optimizer: options.scaleAware === true ? inUnits(adam(), own) : adam(), rate: roundingRate(iterations) })),
      ...(options.scales === 'learned' ? soft.map(({ scale, unit }) => single(scale, scaleRate * unit)) : []),
      ...[...steps].map(([value, name]) => single(name, stepRate * context.starts.get(value)!.scale)),
    ],
  });
  try {
    const feeder = new Feeder(context, masks, options.drop, seed, index);
    const parameters = [...rounding, ...(options.scales === 'learned' ? soft.map(({ scale }) => scale) : []), ...steps.values()];
    const start = new Map(parameters.map((name) => [name, trainer.values(name).slice()]));
    const decide = (): void => { for (const name of rounding) for (const [i, v] of trainer.values(name).entries()) trainer.values(name)[i] = v >= 0 ? decided : -decided; };
    const restore = (): void => { for (const [name, values] of start) trainer.values(name).set(values); };
    decide();
    const nearest = await feeder.measure(trainer);
    restore();
    const parts = Math.max(1, Math.round(wanted / context.batch));
    const order = batchOrder(feeder.count, context.batch, seed + index);
    for (let step = 0; step < iterations; step++) {
      const settings = { temperature: roundingTemperature(step, iterations), push: roundingIsPushed(step, iterations) ? push : 0 };
      for (let part = 0; part < parts; part++) await trainer.accumulate(feeder.training(order(step * parts + part), step * parts + part, settings));
      trainer.update();
    }
    const softLoss = await feeder.measure(trainer);
    let [open, count] = [0, 0];
    for (const name of rounding) for (const v of trainer.values(name)) { count++; const h = softRound(v); if (h > 0.05 && h < 0.95) open++; }
    decide();
    let hard = await feeder.measure(trainer);
    if (hard > nearest) {
      restore();
      hard = nearest;
    }
    const values = (name: string): Float32Array => trainer.values(name);
    return {
      result: { name: context.block.name, nearest, soft: softLoss, hard, undecided: count === 0 ? 0 : open / count },
      codes: new Map(await Promise.all(soft.map(async (weight) => [weight.site.id, weight.harden(values(weight.rounding), await scalesOf(weight, graph, options, values))] as const))),
      steps: new Map([...steps].map(([value, name]) => [value, { ...context.starts.get(value)!, scale: values(name)[0] }])),
    };
  } finally {
    await trainer.dispose();
  }
}

/** Scales of a weight: learned ones, or those of the graph. */
async function scalesOf({ scale }: SoftWeight, graph: Graph, { scales }: ReconstructOptions, values: (name: string) => Float32Array): Promise<Float32Array> {
  return scales === 'learned' ? values(scale) : readFloats(graph.weights.get(scale)!);
}

interface Masks {
  /** Coins per quantized value: 1 sees it quantized. */
  readonly values: ReadonlyMap<string, { readonly name: string; readonly shape: readonly number[] }>;
  /** Outputs that are held to the float network's, and the inputs that bring those. */
  readonly targets: ReadonlyMap<string, string>;
  readonly temperature: string;
  readonly push: string;
}

interface LossGraph {
  readonly graph: Graph;
  readonly soft: readonly SoftWeight[];
  /** Parameter of each learned step, by value. */
  readonly steps: ReadonlyMap<string, string>;
  readonly masks: Masks;
  readonly loss: string;
}

async function lossGraph({ graph, block, learned, starts, fixed }: BlockContext, { drop, search }: Pick<ReconstructOptions, 'drop' | 'search'>): Promise<LossGraph> {
  const fresh = freshNames(graph);
  const tape = new GraphTape(fresh);
  const view = viewOf(graph);
  const inputs: ValueInfo[] = [];
  const input = (name: string, type: 'f32' | 'bool', shape: ValueInfo['shape']): string => {
    const own = fresh(name);
    inputs.push({ name: own, type, shape });
    return own;
  };
  // Composites say nothing of their shapes.
  const noted = new Map<string, ValueInfo>(graph.values);
  const note = (name: string, shape: ValueInfo['shape']): string => {
    noted.set(name, { name, type: 'f32', shape });
    return name;
  };
  const replaced = new Map<string, string>();
  const soft: SoftWeight[] = [];
  for (const { site, format } of learned.values()) {
    const weight = await appendSoftWeight(tape, site, format, search);
    soft.push(weight);
    note(weight.h, [site.rows, site.cols]);
    replaced.set(site.id, weight.value);
  }
  for (const [value, { scale, low, high }] of fixed) replaced.set(value, note(appendFakeQuantize(tape, [value, tape.constant(scale)], { low, high }), view.info(value)?.shape));
  const steps = new Map<string, string>();
  const values = new Map<string, { name: string; shape: readonly number[] }>();
  for (const [value, { scale, low, high }] of starts) {
    const step = tape.weight(floatTensor(`${value}/step`, [], Float32Array.of(scale)));
    steps.set(value, step);
    const seen = note(appendFakeQuantize(tape, [value, step], { low, high }), view.info(value)?.shape);
    if (!drop) {
      replaced.set(value, seen);
      continue;
    }
    const shape = view.info(value)!.shape as readonly number[];
    const name = input(`${value}/coins`, 'bool', shape);
    values.set(value, { name, shape });
    replaced.set(value, tape.op('Where', [name, seen, value]));
  }
  const changed = new Set([...learned.keys(), ...starts.keys()]);
  for (const node of block.nodes) if (node.inputs.some((name) => changed.has(name))) for (const output of node.outputs) changed.add(output);
  const targets = new Map<string, string>();
  const terms = block.outputs.filter((output) => changed.has(output)).flatMap((output): string[] => {
    const { type, shape } = view.info(output) ?? {};
    if (type !== 'f32' || shape === undefined || shape.length < 2) return [];
    const target = input(`${output}/target`, 'f32', shape);
    targets.set(output, target);
    // Channels come second in images and last in sequences.
    return [channelSquare(tape, output, target, shape.length === 4 ? 1 : -1)];
  });
  const [temperature, push] = [input('temperature', 'f32', []), input('push', 'f32', [])];
  for (const { h, site } of soft) {
    const [pull] = tape.node(roundingRegulariser.op, [h, temperature], { domain: compositeDomain });
    terms.push(tape.op('Mul', [push, tape.op('ReduceSum', [note(pull, [site.rows, site.cols])], { keepdims: int(0) })]));
  }
  const loss = tape.op('Sum', terms);
  const nodes = block.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => replaced.get(name) ?? name) }));
  const next: Graph = {
    ...graph, values: noted, nodes: [...nodes, ...tape.take()], inputs: [...graph.inputs, ...inputs], outputs: [{ name: loss, type: 'f32', shape: [] }],
    weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]),
  };
  return { graph: { ...next, nodes: sortNodes(next) }, soft, steps, masks: { values, targets, temperature, push }, loss };
}

/** What a block is fed with, drawn from the chunks of the network before it. */
class Feeder {
  #context: BlockContext;
  #masks: Masks;
  #drop: boolean;
  #seed: number;
  /** First of the random streams of this block. */
  #stream: number;
  readonly count: number;

  constructor(context: BlockContext, masks: Masks, drop: boolean, seed: number, index: number) {
    this.#context = context;
    this.#masks = masks;
    this.#drop = drop;
    this.#seed = seed;
    this.#stream = index << 8;
    const [anything] = [...context.block.inputs, ...context.block.outputs];
    this.count = context.float.get(anything)!.length * context.batch;
  }

  /** A batch for training: coins are a function of seed, block, value and step. */
  training(samples: readonly number[], step: number, { temperature, push }: { readonly temperature: number; readonly push: number }): Feeds {
    const { block, batch, float, quantized } = this.#context;
    const feeds = this.#settings(temperature, push);
    let stream = this.#stream;
    for (const name of block.inputs) {
      const [own, other] = [quantized.get(name)!, float.get(name)!];
      const drawn = drawRows(own, batch, samples);
      const isMixed = this.#drop && own !== other && drawn.type === 'f32';
      feeds[name] = isMixed ? mixed(drawn, drawRows(other, batch, samples), coinFlips(this.#seed, stream++, step, drawn.data.length)) : drawn;
    }
    for (const { name, shape } of this.#masks.values.values()) {
      feeds[name] = { type: 'bool', shape, data: coinFlips(this.#seed, stream++, step, shape.reduce((a, b) => a * b, 1)) };
    }
    for (const [output, target] of this.#masks.targets) feeds[target] = drawRows(float.get(output)!, batch, samples);
    return feeds;
  }

  /** Mean loss over the first chunks, everything quantized, nothing pushed. */
  async measure(trainer: Trainer): Promise<number> {
    const { block, batch, float, quantized } = this.#context;
    const chunks = Math.min(this.count / batch, Math.ceil(measuredSamples / batch));
    let sum = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      const feeds = this.#settings(2, 0);
      for (const name of block.inputs) feeds[name] = quantized.get(name)![chunk];
      for (const { name, shape } of this.#masks.values.values()) feeds[name] = { type: 'bool', shape, data: new Uint8Array(shape.reduce((a, b) => a * b, 1)).fill(1) };
      for (const [output, target] of this.#masks.targets) feeds[target] = float.get(output)![chunk];
      sum += await trainer.evaluate(feeds);
    }
    return sum / chunks;
  }

  #settings(temperature: number, push: number): Record<string, Tensor> {
    const number = (value: number): Tensor => ({ type: 'f32', shape: [], data: Float32Array.of(value) });
    return { [this.#masks.temperature]: number(temperature), [this.#masks.push]: number(push) };
  }
}
