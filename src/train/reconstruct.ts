/**
 * Block reconstruction: part by part, weights are rounded so that the part gives what the float network gives, on inputs
 * that the parts before it have already changed. Rounding is learned (AdaRound, arXiv:2004.10568), per layer or per block
 * (BRECQ, arXiv:2102.05426); activations may be quantized at random (QDrop, arXiv:2203.05740) with steps that learn (LSQ);
 * weight scales may learn along with the rounding (Genie, arXiv:2212.04780).
 */
import type { Engine, Feeds, Session } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { floatTensor } from '../tensor-ref.ts';
import type { EncodeOptions, NumberFormat } from '../formats/format.ts';
import { bindToShapes } from '../graph/bind.ts';
import { lower } from '../graph/composite.ts';
import { foldConstants } from '../graph/constant-fold.ts';
import type { Graph } from '../graph/graph.ts';
import { storedOrder, type Linear } from '../graph/linear.ts';
import { withOutputs } from '../graph/outputs.ts';
import { removeDeadNodes } from '../graph/rewrite.ts';
import { viewOf } from '../graph/traverse.ts';
import { noBatches, openGraph, type Batches } from '../observe/taps.ts';
import { quantizedLazily, quantizedWhole, sumOfSquares, type QuantizedMatrix } from '../round/quantized-matrix.ts';
import { startStep } from './activation-steps.ts';
import { blocksOf, type Block, type BlockUnit } from './blocks.ts';
import { composites } from './composites/index.ts';
import { trainBlock, type BlockResult, type TrainedBlock } from './reconstruct-block.ts';
import { inChunks, sampleRows } from './samples.ts';
import { quantizeValues, type ValueQuantizer } from './simulate.ts';
import { refusesSoftRounding } from './soft-rounding.ts';

export interface ReconstructOptions {
  readonly engine: Engine;
  /** Format of each weight, of integers or floating-point codes; undefined leaves it float. */
  formatOf(site: Linear): NumberFormat | undefined;
  /** Bits of what enters a layer; without it, or where undefined, activations stay float. */
  activationBits?(site: Linear): number | undefined;
  readonly unit: BlockUnit;
  /** Whether weight scales move with the rounding. */
  readonly scales: 'fixed' | 'learned';
  /** Activations are quantized with probability 1/2 while training, and inputs mixed with the float network's. */
  readonly drop: boolean;
  /** Steps per block; default 1000. */
  readonly iterations?: number;
  /** Samples per step; default 32, or what the graph is fixed to. */
  readonly batch?: number;
  /** Weight of the regulariser that pushes roundings apart; default 1. */
  readonly push?: number;
  /** How the first weight scales are found; default `p2.4`. */
  readonly search?: EncodeOptions['search'];
  /** Roundings move in the weight's own unit, so that those between close levels turn first (FP4DiT, arXiv:2503.15465); default false. */
  readonly scaleAware?: boolean;
  readonly seed?: number;
  readonly threads?: number;
  /** What an earlier run learned, and where this one keeps it; blocks whose activations learn too are trained again. */
  readonly kept?: KeptBlocks;
  onBlock?(result: BlockResult, done: number, total: number): void;
}

/** Blocks by their place, with all layers that are learned in them. */
export interface KeptBlocks {
  read(place: number, learned: BlockContext['learned']): Promise<{ readonly codes: TrainedBlock['codes']; readonly result: Omit<BlockResult, 'name'> } | undefined>;
  write(place: number, learned: BlockContext['learned'], trained: TrainedBlock): Promise<void>;
}

export interface Reconstructed {
  /** By weight id. */
  readonly weights: ReadonlyMap<string, QuantizedMatrix>;
  /** By value name: how its readers see it. */
  readonly activations: ReadonlyMap<string, ValueQuantizer>;
  readonly blocks: readonly BlockResult[];
}

const errors = defineErrors('reconstruct', {
  format: (f: { id: string; format: string; why: string }) => [`${f.id}: rounding cannot be learned in ${f.format}: ${f.why}`, 'choose a format such as int4/channel, uint4/g32 or e2m1/g128, or leave the layer float with --keep'],
  type: (f: { id: string; type: string }) => [`${f.id}: rounding is learned from float32 weights, these are ${f.type}`, 'convert the model to float32 first, or choose gptq'],
});

/** What one block is trained on. */
export interface BlockContext {
  /** The block as a graph of its own. */
  readonly graph: Graph;
  readonly block: Block;
  readonly batch: number;
  /** Values of the float network and of the network so far, one tensor per chunk. */
  readonly float: ReadonlyMap<string, readonly Tensor[]>;
  readonly quantized: ReadonlyMap<string, readonly Tensor[]>;
  /** Layers whose rounding is learned here. */
  readonly learned: ReadonlyMap<string, { readonly site: Linear; readonly format: NumberFormat }>;
  /** Values that are quantized: those whose step starts here, and those that earlier blocks fixed. */
  readonly starts: ReadonlyMap<string, ValueQuantizer>;
  readonly fixed: ReadonlyMap<string, ValueQuantizer>;
}

export async function reconstruct(source: Graph, batches: Batches, options: ReconstructOptions): Promise<Reconstructed> {
  const { engine } = options;
  const { chunks, batch } = await chunksFor(source, batches, options.batch ?? 32);
  const graph = await foldConstants(await boundTo(source, chunks[0]));
  const blocks = blocksOf(graph, options.unit);
  const float = new Map(graph.inputs.map(({ name }) => [name, chunks.map((feeds) => feeds[name])] as [string, readonly Tensor[]]));
  const quantized = new Map(float);
  const weights = new Map<string, QuantizedMatrix>();
  const activations = new Map<string, ValueQuantizer>();
  const bits = activationBits(blocks, options);
  const results: BlockResult[] = [];
  for (const [index, block] of blocks.entries()) {
    const own = blockGraph(graph, block);
    const read = new Set(block.nodes.flatMap(({ inputs }) => inputs));
    const fresh = [...bits.keys()].filter((value) => read.has(value) && !activations.has(value));
    const inner = fresh.filter((value) => !block.inputs.includes(value));
    const first = await runChunks(own, engine, float, block.inputs, [...new Set([...block.outputs, ...inner])], chunks.length);
    for (const value of block.outputs) float.set(value, first.get(value)!);
    const starts = new Map(fresh.map((value) => [value, startStep((first.get(value) ?? float.get(value)!)[0].data as Float32Array, bits.get(value)!)]));
    const fixed = new Map([...activations].filter(([value]) => read.has(value)));
    const { learned, plain } = toRound(block, weights, options);
    for (const [id, matrix] of plain) weights.set(id, matrix);
    if (learned.size > 0 || starts.size > 0) {
      // Plainly rounded neighbours are part of what the learned ones make up for.
      const rounded = await withDecoded(own, block.sites, new Map([...weights].filter(([id]) => !learned.has(id))));
      const place = starts.size > 0 ? undefined : options.kept;
      const found = await place?.read(index, learned);
      const trained = found === undefined ? await trainBlock({ graph: rounded, block, batch, float, quantized, learned, starts, fixed }, options, index) : { codes: found.codes, result: { ...found.result, name: block.name }, steps: new Map<string, ValueQuantizer>() };
      if (found === undefined) await place?.write(index, learned, trained);
      const { result, codes, steps } = trained;
      for (const [id, { site, format }] of learned) weights.set(id, quantizedWhole(format, codes.get(id)!, sumOfSquares(await site.weightMatrix())));
      for (const [value, quantizer] of steps) activations.set(value, quantizer);
      results.push(result);
      options.onBlock?.(result, index + 1, blocks.length);
    }
    const needed = new Set(blocks.slice(index + 1).flatMap(({ inputs }) => inputs));
    const passed = block.outputs.filter((value) => needed.has(value));
    if (passed.length > 0) {
      const seen = new Map([...activations].filter(([value]) => read.has(value)));
      const after = lower(quantizeValues(await withDecoded(own, block.sites, weights), seen), composites);
      for (const [value, made] of await runChunks(after, engine, quantized, block.inputs, passed, chunks.length)) quantized.set(value, made);
    }
    for (const store of [float, quantized]) for (const name of store.keys()) if (!needed.has(name)) store.delete(name);
  }
  return { weights, activations, blocks: results };
}

/** Elements of one value in one chunk, and in all: scores of a large vocabulary would fill the memory. */
const mostPerChunk = 2 ** 24;
const mostHeld = 2 ** 27;

export const boundTo = (graph: Graph, feeds: Feeds): Promise<Graph> => bindToShapes(graph, new Map(Object.entries(feeds).map(([name, { shape }]) => [name, shape])));

/** Calibration samples, as many to a chunk as are wanted, fit, or are fixed by the graph. */
export async function chunksFor(graph: Graph, batches: Batches, wanted: number): Promise<{ readonly chunks: readonly Feeds[]; readonly batch: number }> {
  const rows = await sampleRows(batches);
  if (rows.length === 0) throw noBatches({});
  const fixed = graph.inputs[0]?.shape?.[0];
  const one = await boundTo(graph, inChunks(rows, typeof fixed === 'number' ? Math.min(fixed, rows.length) : 1)[0]);
  let largest = 1;
  for (const { shape } of [...one.values.values(), ...one.outputs]) largest = Math.max(largest, (shape ?? []).reduce<number>((product, dim) => product * (typeof dim === 'number' ? dim : 1), 1));
  const batch = typeof fixed === 'number' ? fixed : Math.max(1, Math.min(wanted, rows.length, Math.floor(mostPerChunk / largest)));
  return { batch, chunks: inChunks(rows.slice(0, Math.max(batch, Math.floor(mostHeld / largest))), batch) };
}

/** Bits of every value that enters a layer with quantized inputs; the widest reader decides. */
function activationBits(blocks: readonly Block[], { activationBits: of }: ReconstructOptions): Map<string, number> {
  const bits = new Map<string, number>();
  for (const site of blocks.flatMap((block) => block.sites)) {
    const own = of?.(site);
    if (own !== undefined) bits.set(site.input, Math.max(own, bits.get(site.input) ?? 0));
  }
  return bits;
}

/** A block with the shapes around it; the weights of the whole stay until dead ones are dropped. */
export function blockGraph(graph: Graph, { nodes, inputs, outputs }: Block): Graph {
  const view = viewOf(graph);
  const info = (name: string) => view.info(name) ?? { name, type: 'f32' as const, shape: undefined };
  return removeDeadNodes({ ...graph, nodes, inputs: inputs.map(info), outputs: outputs.map(info) });
}

/** Layers to learn, and those that are rounded to the smallest squared error because no rule learns them. */
function toRound({ sites }: Block, done: ReadonlyMap<string, QuantizedMatrix>, { formatOf }: ReconstructOptions) {
  const learned = new Map<string, { site: Linear; format: NumberFormat }>();
  const plain = new Map<string, QuantizedMatrix>();
  for (const site of sites) {
    const format = formatOf(site);
    if (format === undefined || done.has(site.id)) continue;
    const why = refusesSoftRounding(site, format);
    if (why === undefined) learned.set(site.id, { site, format });
    else if (site.kind === 'ConvTranspose') plain.set(site.id, quantizedLazily(site, format, { name: site.id, search: 'mse' }));
    else throw errors.format({ id: site.id, format: format.name, why });
    if (site.weight.type !== 'f32') throw errors.type({ id: site.id, type: site.weight.type });
  }
  return { learned, plain };
}

/** A graph with rounded weights decoded. */
async function withDecoded(graph: Graph, sites: readonly Linear[], rounded: ReadonlyMap<string, QuantizedMatrix>): Promise<Graph> {
  const weights = new Map(graph.weights);
  for (const site of sites) {
    const matrix = rounded.get(site.id);
    if (matrix === undefined) continue;
    const decoded = matrix.format.decode(await matrix.read(0, matrix.rows));
    weights.set(site.id, floatTensor(site.id, site.weight.shape, storedOrder(site, decoded)));
  }
  return { ...graph, weights };
}

/** Values of a graph for every chunk. */
export async function runChunks(
  graph: Graph, engine: Engine, known: ReadonlyMap<string, readonly Tensor[]>, inputs: readonly string[], wanted: readonly string[], chunks: number,
): Promise<Map<string, readonly Tensor[]>> {
  const session: Session = await openGraph(await withOutputs(graph, wanted), engine);
  const results = new Map<string, Tensor[]>(wanted.map((name) => [name, []]));
  try {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const feeds: Feeds = Object.fromEntries(inputs.map((name) => [name, known.get(name)![chunk]]));
      const made = await session.run(feeds, wanted);
      for (const name of wanted) results.get(name)!.push(made[name]);
    }
  } finally {
    await session.dispose();
  }
  return results;
}

/** The whole graph as it computes after reconstruction, in float: decoded weights, quantized activations. */
export async function simulateReconstructed(graph: Graph, sites: readonly Linear[], { weights, activations }: Pick<Reconstructed, 'weights' | 'activations'>): Promise<Graph> {
  const decoded = await withDecoded(graph, sites, weights);
  return lower(quantizeValues(decoded, activations), composites);
}
