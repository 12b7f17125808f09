/**
 * Smoothing searched on the output error (SVDQuant, arXiv:2411.05007): s_j = a_j^α / w_j^β per channel, with a_j the
 * largest activation and w_j the largest weight over all layers that read it. Every candidate is scored with the branch,
 * the rounded weights and the rounded input in place; what smoothing is good for depends on what follows it.
 */
import { pow } from '../numeric/elementary.ts';
import { layerError, rounded, type Products, type SharedLayers } from './layer-error.ts';
import { branchAlong, leadingDirections, stacked, withoutBranch } from './low-rank.ts';

export interface Exponents { readonly alpha: number; readonly beta: number }

/** Neither; then activation alone, then both with α + β = 1: 2·grid − 1 candidates, 39 for a grid of 20. */
export function smoothCandidates(grid = 20): Exponents[] {
  const steps = Array.from({ length: grid - 1 }, (_, i) => (i + 1) / grid);
  return [{ alpha: 0, beta: 0 }, ...steps.map((alpha) => ({ alpha, beta: 0 })), ...steps.map((alpha) => ({ alpha, beta: 1 - alpha }))];
}

/** s of channels; a channel without a factor takes 1, and all do where any factor is no finite number. */
export function smoothFactors(activation: ArrayLike<number>, weight: ArrayLike<number>, { alpha, beta }: Exponents): Float32Array {
  const factors = Float32Array.from(activation, (a, j) => {
    if (alpha === 0 && beta === 0) return 1;
    const s = Math.fround((a === 0 && alpha > 0 ? 0 : pow(a, alpha)) / (beta === 0 ? 1 : pow(weight[j], beta)));
    return s === 0 ? 1 : s;
  });
  return factors.every(Number.isFinite) ? factors : factors.fill(1);
}

/** The same layers with inputs divided and columns multiplied. */
export function smoothed({ rows, layers, input }: SharedLayers, factors: Float32Array): SharedLayers {
  const inverse = factors.map((s) => 1 / s);
  return {
    input, rows: { ...rows, values: scaled(rows.values, inverse), maxAbsolute: scaled(rows.maxAbsolute, inverse) },
    layers: layers.map((layer) => ({ ...layer, values: scaled(layer.values, factors) })),
  };
}

/** Every row times a vector. */
function scaled(values: Float32Array, factors: Float32Array): Float32Array {
  const out = new Float32Array(values.length);
  for (let start = 0; start < out.length; start += factors.length) for (let j = 0; j < factors.length; j++) out[start + j] = values[start + j] * factors[j];
  return out;
}

export interface SmoothChoice extends Exponents {
  readonly factors: Float32Array;
  /** Output error with it, and without smoothing. */
  readonly error: number;
  readonly plain: number;
}

export interface SmoothSearchOptions {
  /** Default 20. */
  readonly grid?: number;
  /** Rank of the branch that candidates are scored with; 0 scores them without one. */
  readonly rank: number;
}

/** The best candidate of the grid for layers that share an input. */
export async function searchSmoothing(products: Products, shared: SharedLayers, { grid = 20, rank }: SmoothSearchOptions): Promise<SmoothChoice> {
  const { cols, maxAbsolute } = shared.rows;
  const largest = new Float32Array(cols);
  for (const { values } of shared.layers) for (let i = 0; i < values.length; i++) largest[i % cols] = Math.max(largest[i % cols], Math.abs(values[i]));
  // Smoothed columns change WᵀW by two factors; it is computed once.
  const gram = rank === 0 ? undefined : await products.gram(stacked(shared.layers.map(({ values }) => values)), cols);
  let best: SmoothChoice | undefined;
  let plain = Infinity;
  for (const exponents of smoothCandidates(grid)) {
    const factors = smoothFactors(maxAbsolute, largest, exponents);
    const down = gram === undefined ? undefined : leadingDirections(gram.map((g, i) => g * factors[Math.floor(i / cols)] * factors[i % cols]), cols, rank);
    const error = await errorBeside(products, smoothed(shared, factors), down);
    if (exponents.alpha === 0) plain = error;
    if (best === undefined || error < best.error) best = { ...exponents, factors, error, plain };
  }
  return best!;
}

async function errorBeside(products: Products, shared: SharedLayers, down: Float32Array | undefined): Promise<number> {
  const { rows: { cols }, layers } = shared;
  const matrices = layers.map(({ values }) => values);
  const branch = down === undefined ? undefined : branchAlong(down, matrices, cols);
  const residuals = branch === undefined ? matrices : matrices.map((matrix, i) => withoutBranch(matrix, cols, branch, branch.ups[i]));
  return layerError(products, shared, residuals, residuals.map((residual, i) => rounded(residual, layers[i].rows, cols, layers[i].format)));
}
