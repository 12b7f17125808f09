/**
 * Which float layer each layer of a quantized network came from: of the same shape, the one whose rows point the same way;
 * names are not looked at. Rows or columns that a tool rescaled (folded batch normalization, smoothing) are rescaled alike.
 */
import type { Graph } from '../graph/graph.ts';
import { viewOf } from '../graph/traverse.ts';
import { matmul } from '../numeric/matrix.ts';
import type { QuantizedLayer } from './quantized-layers.ts';

export interface MatchedLayer {
  readonly layer: QuantizedLayer;
  /** The layer of the float network. */
  readonly partner: QuantizedLayer;
  /** The float weights in the place of the layer's own, [rows, cols]; without what a branch beside it adds. */
  readonly float: Float32Array;
  /** Squared error of the layer's weights, with its branch, by the squares of the float ones. */
  readonly error: number;
}

/** Rows that are compared to find a partner. */
const sampledRows = 32;
/** Mean cosine of rows below which two matrices have nothing to do with each other. */
const leastAlike = 0.4;
/** Relative error above which a rescaling by rows or columns is looked for, and by how much it must help. */
const suspicious = 0.05, helps = 4;

/** Products of two layers of low rank that are added to a layer's own, as matrices [rows, cols], and the layers that they consist of. */
export interface Branches {
  readonly of: ReadonlyMap<QuantizedLayer, ArrayLike<number>>;
  readonly parts: ReadonlySet<QuantizedLayer>;
}

export function branchesBeside(graph: Graph, layers: readonly QuantizedLayer[]): Branches {
  const view = viewOf(graph);
  const makers = new Map(layers.map((layer) => [layer.output, layer]));
  const of = new Map<QuantizedLayer, ArrayLike<number>>();
  const parts = new Set<QuantizedLayer>();
  for (const layer of layers) {
    const added = (value: string): { other: string; sum: string } | undefined => {
      const node = view.onlyConsumer(value);
      return node?.op === 'Add' ? { other: node.inputs[node.inputs[0] === value ? 1 : 0], sum: node.outputs[0] } : undefined;
    };
    const first = added(layer.output);
    // A bias may come before.
    const sum = first !== undefined && graph.weights.has(first.other) ? added(first.sum) : first;
    const up = makers.get(sum?.other ?? '');
    const down = up === undefined ? undefined : makers.get(up.input);
    if (up === undefined || down === undefined || down.cols !== layer.cols || up.rows !== layer.rows || up.cols !== down.rows || up.cols > Math.min(layer.rows, layer.cols)) continue;
    of.set(layer, matmul(up.matrix, down.matrix, up.rows, up.cols, down.cols));
    parts.add(up).add(down);
  }
  return { of, parts };
}

const noBranches: Branches = { of: new Map(), parts: new Set() };

export function matchLayers(all: readonly QuantizedLayer[], open: readonly QuantizedLayer[], { of, parts }: Branches = noBranches): { matched: MatchedLayer[]; unmatched: QuantizedLayer[] } {
  const layers = all.filter((layer) => !parts.has(layer));
  const wholes = new Map(layers.map((layer) => [layer, plus(layer.matrix, of.get(layer), 1)]));
  const pairs = layers.flatMap((layer, at) => open.flatMap((site, place) => {
    if (site.rows !== layer.rows || site.cols !== layer.cols || (site.op === 'Gather') !== (layer.op === 'Gather')) return [];
    const likeness = alike(wholes.get(layer)!, site.matrix, layer.rows, layer.cols);
    // Among layers that are equally alike the order of execution decides.
    return likeness < leastAlike ? [] : [{ layer, site, score: likeness - 1e-6 * Math.abs(at / layers.length - place / open.length) }];
  })).sort((a, b) => b.score - a.score);
  const partners = new Map<QuantizedLayer, QuantizedLayer>();
  for (const { layer, site } of pairs) if (!partners.has(layer)) partners.set(layer, site);
  const matched = layers.flatMap((layer): MatchedLayer[] => {
    const partner = partners.get(layer);
    if (partner === undefined) return [];
    const { float, error } = rescaled({ ...layer, matrix: wholes.get(layer)! }, partner.matrix);
    return [{ layer, partner, float: plus(float, of.get(layer), -1), error }];
  });
  return { matched, unmatched: layers.filter((layer) => !partners.has(layer)) };
}

const plus = (matrix: Float32Array, branch: ArrayLike<number> | undefined, sign: number): Float32Array =>
  (branch === undefined ? matrix : matrix.map((value, i) => value + sign * branch[i]));

/** Mean cosine of rows at equal distances. */
function alike(a: Float32Array, b: Float32Array, rows: number, cols: number): number {
  const step = Math.max(1, Math.floor(rows / sampledRows));
  let sum = 0, count = 0;
  for (let row = 0; row < rows; row += step, count++) {
    let ab = 0, aa = 0, bb = 0;
    for (let i = row * cols; i < (row + 1) * cols; i++) { ab += a[i] * b[i]; aa += a[i] * a[i]; bb += b[i] * b[i]; }
    sum += aa === 0 || bb === 0 ? Number(aa === bb) : ab / Math.sqrt(aa * bb);
  }
  return sum / count;
}

/** The float matrix, by rows or columns as long as the layer's where that explains most of the difference. */
function rescaled({ matrix, rows, cols }: QuantizedLayer, float: Float32Array): Pick<MatchedLayer, 'float' | 'error'> {
  const errorOf = (other: Float32Array): number => {
    let difference = 0, squares = 0;
    for (let i = 0; i < other.length; i++) { difference += (matrix[i] - other[i]) ** 2; squares += other[i] ** 2; }
    return squares === 0 ? 0 : difference / squares;
  };
  const plain = errorOf(float);
  let best = { float, error: plain };
  if (plain < suspicious) return best;
  for (const keyOf of [(i: number) => Math.floor(i / cols), (i: number) => i % cols]) {
    const [ab, bb] = [new Float64Array(Math.max(rows, cols)), new Float64Array(Math.max(rows, cols))];
    for (let i = 0; i < float.length; i++) { ab[keyOf(i)] += matrix[i] * float[i]; bb[keyOf(i)] += float[i] ** 2; }
    const scaled = float.map((value, i) => (bb[keyOf(i)] === 0 ? value : (value * ab[keyOf(i)]) / bb[keyOf(i)]));
    const error = errorOf(scaled);
    if (error < plain / helps && error < best.error) best = { float: scaled, error };
  }
  return best;
}
