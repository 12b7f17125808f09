/** What experiments with 4-bit weights and inputs share: errors of layers by themselves, and a language model's distances window by window. */
import { pairedDifference } from '../evaluate/metrics/summary.ts';
import { ortNode } from '../engine/ort-node.ts';
import type { Feeds } from '../engine/session.ts';
import type { Graph } from '../graph/graph.ts';
import { linearSites } from '../graph/linear.ts';
import { observeInputRows } from '../observe/input-rows.ts';
import { permutation } from '../numeric/random.ts';
import type { Applied } from '../recipes/apply.ts';
import { balanceInputs } from '../transform/balance.ts';
import { layerEnergy, layerError, rounded, type Products, type SharedLayers } from '../transform/layer-error.ts';
import { distances, logitsOf, type JudgedWindow } from './data/llama.ts';
import { measured, type Arm, type Check } from './reproduction.ts';

/** Layers of the language model, and attention and feed-forward layers of the diffusion transformer, by weight. */
export const isLlamaLayer = (id: string): boolean => id.includes('.layers.');
export const isDitLayer = (id: string): boolean => /^blocks\.\d+\.(attn|mlp)\./.test(id);

/** Channels of every input that twins plant, and by how much they raise them. */
export const planted = { gain: 20, channels: 8 } as const;

/** What both experiments say of their hosts, errors and twins. */
export const hostNotes: readonly string[] = [
  'language model of 3.6 M parameters, all 42 layers; diffusion transformer of 3.28 M parameters, the 24 attention and feed-forward layers of its blocks; every arm is the graph that its file holds, run by ONNX Runtime',
  'errors of layers are of each layer by itself, on inputs of the float network that calibrated nothing; spread over layers, windows or points',
  `planted twin: ${planted.channels} channels of every input ${planted.gain} times as large, the weights that read them as much smaller; the same float function`,
];

/** Rows of each input that errors of layers are measured on. */
const rows = 256;

/** ‖X·Wᵀ‖² of every layer of the float network, by weight. */
export async function layerEnergies(products: Products, graph: Graph, points: Feeds, ids: (id: string) => boolean): Promise<Map<string, number>> {
  const sites = linearSites(graph).filter(({ id }) => ids(id));
  const seen = await observeInputRows(graph, ortNode, [points], sites, rows);
  const found = new Map<string, number>();
  for (const site of sites) found.set(site.id, await layerEnergy(products, { rows: seen.get(site.input)!, input: undefined, layers: [await layerOf(site)] }));
  return found;
}

const layerOf = async (site: { weightMatrix(): Promise<Float32Array>; readonly rows: number }): Promise<SharedLayers['layers'][number]> =>
  ({ values: await site.weightMatrix(), rows: site.rows, format: undefined as never });

/**
 * Relative error ‖ΔY‖ / ‖Y‖ of every rounded layer on inputs of the float network. `float` is the graph that was rounded,
 * branches and rotations included, before residual channels; weights with more columns than it has repeat its last ones.
 */
export async function layerErrors(products: Products, float: Graph, { weights, activations }: Pick<Applied, 'weights' | 'activations'>, energies: ReadonlyMap<string, number>, points: Feeds): Promise<Map<string, number>> {
  const sites = linearSites(float).filter(({ id }) => weights.has(id) && energies.has(id));
  const seen = await observeInputRows(float, ortNode, [points], sites, rows);
  const found = new Map<string, number>();
  for (const site of sites) {
    const [matrix, input, { values, count, cols, maxAbsolute }] = [weights.get(site.id)!, activations.get(site.output), seen.get(site.input)!];
    const decoded = matrix.format.decode(await matrix.read(0, site.rows));
    const extra = matrix.cols - cols;
    const lost = rounded(values, count, cols, input).map((q, i) => values[i] - q);
    const x = beside(values, lost, count, cols, extra);
    const exact = beside(await site.weightMatrix(), new Float32Array(site.rows * cols), site.rows, cols, extra);
    const error = await layerError(products, { rows: { values: x, count, cols: cols + extra, maxAbsolute }, layers: [], input }, [exact], [decoded]);
    found.set(site.id, Math.sqrt(error / energies.get(site.id)!));
  }
  return found;
}

/** Rows of one matrix, each followed by the end of the other's. */
function beside(first: Float32Array, second: Float32Array, count: number, cols: number, extra: number): Float32Array {
  if (extra === 0) return first;
  const out = new Float32Array(count * (cols + extra));
  for (let r = 0; r < count; r++) {
    out.set(first.subarray(r * cols, (r + 1) * cols), r * (cols + extra));
    out.set(second.subarray((r + 1) * cols - extra, (r + 1) * cols), r * (cols + extra) + cols);
  }
  return out;
}

/** The same float function with a few channels of every input as many times larger, undone in the weights that read them. */
export function plantOutliers(graph: Graph, ids: (id: string) => boolean): Promise<Graph> {
  const factors = new Map<string, Float32Array>();
  for (const { id, input, cols } of linearSites(graph)) {
    if (!ids(id) || factors.has(input)) continue;
    const chosen = new Set(permutation(7, factors.size, cols).slice(0, planted.channels));
    factors.set(input, Float32Array.from({ length: cols }, (_, c) => (chosen.has(c) ? 1 / planted.gain : 1)));
  }
  return balanceInputs(graph, factors);
}

/** Arms of a language model beside the float one. */
export class LanguageArms {
  readonly arms: Arm[] = [];
  readonly kl = new Map<string, readonly number[]>();
  readonly layers = new Map<string, ReadonlyMap<string, number>>();
  readonly #judged: readonly JudgedWindow[];
  readonly #float: readonly Float32Array[];
  readonly #threads: number;

  private constructor(judged: readonly JudgedWindow[], float: readonly Float32Array[], threads: number) {
    this.#judged = judged;
    this.#float = float;
    this.#threads = threads;
  }

  static async open(graph: Graph, judged: readonly JudgedWindow[], threads: number): Promise<LanguageArms> {
    return new LanguageArms(judged, await logitsOf(graph, judged, threads), threads);
  }

  /** `bits` a weight of what was rounded, all counted. */
  async add(name: string, graph: Graph, bits: number, layers?: ReadonlyMap<string, number>): Promise<void> {
    const { kl, nll } = distances(this.#float, await logitsOf(graph, this.#judged, this.#threads), this.#judged);
    this.kl.set(name, kl);
    if (layers !== undefined) this.layers.set(name, layers);
    this.arms.push({
      name, metrics: {
        'KL, nats': measured(kl), perplexity: measured([Math.exp(measured(nll).mean)]), 'bits a weight': measured([bits]),
        ...(layers === undefined ? {} : { 'layer error, %': measured([...layers.values()].map((error) => 100 * error)) }),
      },
    });
  }

  /** That one arm is nearer to the float model than another, paired by window, beyond two standard errors. */
  nearer(one: string, other: string, finding?: string): Check {
    const { mean, standardError } = pairedDifference(this.kl.get(other)!, this.kl.get(one)!);
    const holds = mean + 2 * standardError < 0;
    return {
      name: `${one} against ${other}`, expected: 'less KL, paired by window, beyond two standard errors', holds,
      measured: `${mean.toExponential(2)} ± ${(2 * standardError).toExponential(1)}`, ...(holds || finding === undefined ? {} : { finding }),
    };
  }

  /** That layers err less by themselves with one arm, paired by layer. */
  layersErrLess(one: string, other: string, finding?: string): Check {
    return lessLayerError(one, this.layers.get(one)!, other, this.layers.get(other)!, finding);
  }
}

/** That errors of layers are less with one arm than with another, paired by layer, beyond two standard errors. */
export function lessLayerError(one: string, a: ReadonlyMap<string, number>, other: string, b: ReadonlyMap<string, number>, finding?: string): Check {
  const ids = [...a.keys()].filter((id) => b.has(id));
  const { mean, standardError } = pairedDifference(ids.map((id) => b.get(id)!), ids.map((id) => a.get(id)!));
  const holds = mean + 2 * standardError < 0;
  const percentOf = (errors: ReadonlyMap<string, number>): string => (100 * measured(ids.map((id) => errors.get(id)!)).mean).toFixed(2);
  return {
    name: `layers: ${one} against ${other}`, expected: 'less output error, paired by layer, beyond two standard errors', holds,
    measured: `${percentOf(a)} against ${percentOf(b)} %; ${ids.filter((id) => a.get(id)! < b.get(id)!).length} of ${ids.length} layers`, ...(holds || finding === undefined ? {} : { finding }),
  };
}

/** Bits a weight of everything that rounded layers multiply with; branches as half floats, repeated columns counted. */
export function bitsOfArm({ graph, weights, kept }: Pick<Applied, 'graph' | 'weights' | 'kept'>, plain: ReadonlyMap<string, number>): number {
  let [bits, count] = [0, 0];
  for (const [id, matrix] of weights) {
    bits += matrix.format.bitsPerWeight(matrix.rows, matrix.cols) * matrix.rows * matrix.cols;
    count += plain.get(id) ?? 0;
  }
  for (const id of kept) if (!id.startsWith('rotation')) bits += 16 * graph.weights.get(id)!.shape.reduce((product, dim) => product * dim, 1);
  return bits / count;
}

/** Weights of layers of a graph, by id. */
export const weightCounts = (graph: Graph): Map<string, number> => new Map(linearSites(graph).map(({ id, rows: height, cols }) => [id, height * cols]));
