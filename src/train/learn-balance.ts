/**
 * Channel balancing and clipping learned block by block (QuantVGGT, arXiv:2509.21302, section 3.2): factors c divide the
 * inputs of layers and multiply the columns of their weights, the ranges of weights (per output channel) and of inputs
 * (per layer) shrink by sigmoid(p), so that each block gives on the float network's values what the float block gives.
 * Rounding passes gradients straight through; those of ranges count what is rounded and what is clipped (LSQ).
 */
import type { Engine } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { foldConstants } from '../graph/constant-fold.ts';
import { int, ints } from '../graph/build.ts';
import { GraphTape, type Tape } from '../graph/gradient/tape.ts';
import type { Graph, ValueInfo } from '../graph/graph.ts';
import type { Linear } from '../graph/linear.ts';
import { freshNames } from '../graph/rewrite.ts';
import { sortNodes, viewOf } from '../graph/traverse.ts';
import { exp, log } from '../numeric/elementary.ts';
import type { Batches } from '../observe/taps.ts';
import { floatTensor } from '../tensor-ref.ts';
import { blocksOf, type Block } from './blocks.ts';
import { appendFakeQuantize } from './composites/fake-quantize.ts';
import { batchOrder } from './fit.ts';
import { meanSquare } from './losses.ts';
import { adamw } from './optimizers.ts';
import { blockGraph, boundTo, chunksFor, runChunks } from './reconstruct.ts';
import { cosine } from './schedules.ts';
import { Trainer } from './trainer.ts';

export interface LearnBalanceOptions {
  readonly engine: Engine;
  /** Bits of symmetric integers: of the weight per output channel, of the input per token; undefined leaves a layer alone. */
  bitsOf(site: Linear): { readonly weight: number; readonly input: number } | undefined;
  /** Factors to start from, by input value. */
  readonly start: ReadonlyMap<string, Float32Array>;
  readonly learns: { readonly factors: boolean; readonly ranges: boolean };
  /** Passes over the samples; default 15. */
  readonly epochs?: number;
  /** Samples per step; default 1, as published. */
  readonly batch?: number;
  readonly seed?: number;
  readonly threads?: number;
  onBlock?(result: BalancedBlock, done: number, total: number): void;
}

/** Mean squared distance of a block's outputs before and after. */
export interface BalancedBlock { readonly name: string; readonly start: number; readonly learned: number }

export interface LearnedBalance {
  /** By input value. */
  readonly factors: ReadonlyMap<string, Float32Array>;
  /** Share of the extreme value that is kept: of inputs by value, of weights by weight id, one per output channel. Empty where ranges are not learned. */
  readonly inputs: ReadonlyMap<string, number>;
  readonly weights: ReadonlyMap<string, Float32Array>;
  readonly blocks: readonly BalancedBlock[];
}

/** Where sigmoid(p) begins: 0.982 of the range. */
const firstClip = 4;
const rates = { factors: 1e-3, ranges: 1e-2 } as const;
const lastRate = 1e-3;

const sigmoid = (p: number): number => 1 / (1 + exp(-p));

export async function learnBalance(source: Graph, batches: Batches, options: LearnBalanceOptions): Promise<LearnedBalance> {
  const { engine, onBlock, learns } = options;
  if (!learns.factors && !learns.ranges) return { factors: options.start, inputs: new Map(), weights: new Map(), blocks: [] };
  const { chunks } = await chunksFor(source, batches, options.batch ?? 1);
  const graph = await foldConstants(await boundTo(source, chunks[0]));
  const blocks = blocksOf(graph, 'block');
  const known = new Map(graph.inputs.map(({ name }) => [name, chunks.map((feeds) => feeds[name])] as [string, readonly Tensor[]]));
  const found = { factors: new Map(options.start), inputs: new Map<string, number>(), weights: new Map<string, Float32Array>() };
  const results: BalancedBlock[] = [];
  for (const [index, block] of blocks.entries()) {
    const own = blockGraph(graph, block);
    for (const [value, made] of await runChunks(own, engine, known, block.inputs, block.outputs, chunks.length)) known.set(value, made);
    const sites = block.sites.filter((site) => options.bitsOf(site) !== undefined && options.start.has(site.input));
    if (sites.length > 0) {
      const result = await trainOne(own, { ...block, sites, name: [...new Set([sites[0].id, sites.at(-1)!.id])].join(' … ') }, known, options, index, found);
      results.push(result);
      onBlock?.(result, index + 1, blocks.length);
    }
    const needed = new Set(blocks.slice(index + 1).flatMap(({ inputs }) => inputs));
    for (const name of known.keys()) if (!needed.has(name)) known.delete(name);
  }
  return { ...found, blocks: results };
}

type Found = { readonly [K in 'factors' | 'inputs' | 'weights']: Map<string, K extends 'inputs' ? number : Float32Array> };

/** Trains one block and writes what it found; whatever came out worse than the start is dropped for it. */
async function trainOne(
  graph: Graph, block: Block, known: ReadonlyMap<string, readonly Tensor[]>,
  { engine, learns, epochs = 15, seed = 0, threads = 1, start, bitsOf }: LearnBalanceOptions, index: number, found: Found,
): Promise<BalancedBlock> {
  const { graph: whole, factors, inputs, weights, targets, loss } = await lossGraph(graph, block, start, bitsOf, learns.ranges);
  const chunks = known.get([...targets.keys()][0])!.length;
  const steps = epochs * chunks;
  const schedule = cosine(steps, lastRate);
  const ranges = [...inputs.values(), ...weights.values()];
  const trainer = await Trainer.open(whole, {
    engine, loss, session: { threads },
    groups: [
      ...(learns.factors ? [{ names: [...factors.values()], optimizer: adamw(), rate: rates.factors, schedule }] : []),
      ...(learns.ranges ? [{ names: ranges, optimizer: adamw(), rate: rates.ranges, schedule }] : []),
    ],
  });
  try {
    const feeds = (chunk: number): Record<string, Tensor> => Object.fromEntries([
      ...block.inputs.map((name) => [name, known.get(name)![chunk]]), ...[...targets].map(([output, target]) => [target, known.get(output)![chunk]]),
    ]);
    const measure = async (): Promise<number> => {
      let sum = 0;
      for (let chunk = 0; chunk < chunks; chunk++) sum += await trainer.evaluate(feeds(chunk));
      return sum / chunks;
    };
    const first = await measure();
    const order = batchOrder(chunks, 1, seed + index);
    for (let step = 0; step < steps; step++) await trainer.step(feeds(order(step)[0]));
    const last = await measure();
    const better = last <= first;
    if (learns.factors && better) for (const [value, name] of factors) found.factors.set(value, trainer.values(name).map(exp));
    if (learns.ranges) {
      for (const [value, name] of inputs) found.inputs.set(value, sigmoid(better ? trainer.values(name)[0] : firstClip));
      for (const [id, name] of weights) found.weights.set(id, trainer.values(name).map((p) => sigmoid(better ? p : firstClip)));
    }
    return { name: block.name, start: first, learned: Math.min(first, last) };
  } finally {
    await trainer.dispose();
  }
}

interface LossGraph {
  readonly graph: Graph;
  /** Parameters: logarithms of factors and p of inputs by value, p of weights by id. */
  readonly factors: ReadonlyMap<string, string>;
  readonly inputs: ReadonlyMap<string, string>;
  readonly weights: ReadonlyMap<string, string>;
  /** Inputs that bring the float block's outputs. */
  readonly targets: ReadonlyMap<string, string>;
  readonly loss: string;
}

async function lossGraph(graph: Graph, block: Block, start: LearnBalanceOptions['start'], bitsOf: LearnBalanceOptions['bitsOf'], ranges: boolean): Promise<LossGraph> {
  const tape = new GraphTape(freshNames(graph));
  const view = viewOf(graph);
  // Composites say nothing of their shapes.
  const noted = new Map<string, ValueInfo>(graph.values);
  const note = (name: string, shape: ValueInfo['shape']): string => { noted.set(name, { name, type: 'f32', shape }); return name; };
  const [factors, inputs, weights] = [new Map<string, string>(), new Map<string, string>(), new Map<string, string>()];
  const seen = new Map<string, string>();
  const replaced = new Map<string, readonly [input: string, weight: string]>();
  for (const site of block.sites) {
    const bits = bitsOf(site)!;
    if (!factors.has(site.input)) factors.set(site.input, tape.weight(floatTensor(`${site.input}/factors`, [site.cols], start.get(site.input)!.map(log))));
    const factor = tape.op('Exp', [factors.get(site.input)!]);
    if (!seen.has(site.input)) {
      const p = ranges ? tape.weight(floatTensor(`${site.input}/range`, [], Float32Array.of(firstClip))) : undefined;
      if (p !== undefined) inputs.set(site.input, p);
      seen.set(site.input, note(rounded(tape, tape.op('Div', [site.input, factor]), bits.input, p), view.info(site.input)?.shape));
    }
    const p = ranges ? tape.weight(floatTensor(`${site.id}/range`, [site.rows, 1], new Float32Array(site.rows).fill(firstClip))) : undefined;
    if (p !== undefined) weights.set(site.id, p);
    const matrix = tape.weight(floatTensor(`${site.id}/matrix`, [site.rows, site.cols], await site.weightMatrix()));
    let weight = note(rounded(tape, tape.op('Mul', [matrix, factor]), bits.weight, p), [site.rows, site.cols]);
    if (site.transposed) weight = tape.op('Transpose', [weight], { perm: ints([1, 0]) });
    replaced.set(site.output, [seen.get(site.input)!, weight]);
  }
  const extra: ValueInfo[] = [];
  const targets = new Map<string, string>();
  const changed = new Set(replaced.keys());
  for (const node of block.nodes) if (node.inputs.some((name) => changed.has(name))) for (const output of node.outputs) changed.add(output);
  const terms = block.outputs.filter((output) => changed.has(output)).map((output) => {
    const target = `${output}/target`;
    extra.push({ name: target, type: 'f32', shape: view.info(output)?.shape });
    targets.set(output, target);
    return meanSquare(tape, output, target);
  });
  const loss = terms.length === 1 ? terms[0] : tape.op('Sum', terms);
  const nodes = block.nodes.map((node) => {
    const through = replaced.get(node.outputs[0]);
    return through === undefined ? node : { ...node, inputs: [...through, ...node.inputs.slice(2)] };
  });
  const next: Graph = {
    ...graph, values: noted, nodes: [...nodes, ...tape.take()], inputs: [...graph.inputs, ...extra], outputs: [{ name: loss, type: 'f32', shape: [] }],
    weights: new Map([...graph.weights, ...tape.weights]), opset: new Map([...graph.opset, ...tape.opset]),
  };
  return { graph: { ...next, nodes: sortNodes(next) }, factors, inputs, weights, targets, loss };
}

/** A value on symmetric integers per vector of its last axis, over the share sigmoid(p) of each vector's extreme. */
function rounded(tape: Tape, value: string, bits: number, p: string | undefined): string {
  const high = 2 ** (bits - 1) - 1;
  const extreme = tape.op('ReduceMax', [tape.op('Abs', [value]), tape.ints([-1])], { keepdims: int(1) });
  const kept = p === undefined ? extreme : tape.op('Mul', [extreme, tape.op('Sigmoid', [p])]);
  return appendFakeQuantize(tape, [value, tape.op('Div', [kept, tape.constant(high)])], { low: -high, high });
}
