/**
 * Codebooks of 2^b levels learned from the values, one per tensor or per channel: Lloyd's algorithm in one dimension,
 * exact on sorted values with prefix sums, weighted by importance. Deterministic: several fixed starts, the best kept;
 * a level without values moves to the split of the level that errs most.
 */
import { squaredDistance } from '../numeric/statistics.ts';
import { sortedOrder } from '../numeric/sort.ts';
import type { EncodeOptions, Quantized } from './format.ts';
import { spellGranularity, tilingOf } from './granularity.ts';
import { boundariesOf, indexBelow } from './grid.ts';
import { scaleTypes } from './scale-type.ts';
import { checkInput, errors, type Fit, type ScaledFormat } from './scaled.ts';
import { forEachRun, scaleIndexer } from './symmetric.ts';
import { tileLoader } from './tile-measure.ts';

const maxIterations = 60;

/** Sorted values with running sums of w, w·x, w·x². */
interface Sorted {
  readonly values: Float32Array;
  readonly w: Float64Array;
  readonly wx: Float64Array;
  readonly wxx: Float64Array;
}

function sorted(values: Float32Array, weights: Float32Array | undefined): Sorted {
  const order = sortedOrder(values);
  const n = values.length;
  const ascending = new Float32Array(n);
  const [w, wx, wxx] = [new Float64Array(n + 1), new Float64Array(n + 1), new Float64Array(n + 1)];
  for (let i = 0; i < n; i++) {
    const x = values[order[i]];
    const weight = weights === undefined ? 1 : weights[order[i]];
    ascending[i] = x;
    w[i + 1] = w[i] + weight;
    wx[i + 1] = wx[i] + weight * x;
    wxx[i + 1] = wxx[i] + weight * x * x;
  }
  return { values: ascending, w, wx, wxx };
}

/** Number of values not above `bound`. */
function rankOf(values: Float32Array, bound: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

const cellError = (s: Sorted, a: number, b: number, level: number): number =>
  s.wxx[b] - s.wxx[a] - 2 * level * (s.wx[b] - s.wx[a]) + level * level * (s.w[b] - s.w[a]);

/** Ranks where the cells of ascending levels begin, levels.length + 1 of them. */
function cellsOf(s: Sorted, levels: Float32Array): Uint32Array {
  const bounds = boundariesOf(levels, 0, levels.length);
  const cells = new Uint32Array(levels.length + 1);
  for (let k = 1; k < levels.length; k++) cells[k] = Math.max(cells[k - 1], rankOf(s.values, bounds[k - 1]));
  cells[levels.length] = s.values.length;
  return cells;
}

function totalError(s: Sorted, levels: Float32Array): number {
  const cells = cellsOf(s, levels);
  let sum = 0;
  for (let k = 0; k < levels.length; k++) sum += cellError(s, cells[k], cells[k + 1], levels[k]);
  return sum;
}

/** Alternates cells and means until the error stops falling; returns the levels of the least error seen. */
function lloyd(s: Sorted, start: Float32Array): { levels: Float32Array; error: number } {
  let levels = start;
  let error = totalError(s, start);
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const next = means(s, levels);
    const e = totalError(s, next);
    if (!(e < error * (1 - 1e-9))) break;
    levels = next;
    error = e;
  }
  return { levels, error };
}

function means(s: Sorted, levels: Float32Array): Float32Array {
  const cells = cellsOf(s, levels);
  const next = new Float32Array(levels.length);
  const empty: number[] = [];
  const ends: [number, number][] = [];
  for (let k = 0; k < levels.length; k++) {
    const weight = s.w[cells[k + 1]] - s.w[cells[k]];
    if (weight > 0) {
      next[k] = (s.wx[cells[k + 1]] - s.wx[cells[k]]) / weight;
      ends.push([cells[k], cells[k + 1]]);
    } else {
      next[k] = levels[k];
      empty.push(k);
    }
  }
  for (const k of empty) {
    let worst = -1;
    let most = 0;
    ends.forEach(([a, b], i) => {
      const weight = s.w[b] - s.w[a];
      const e = weight > 0 ? cellError(s, a, b, (s.wx[b] - s.wx[a]) / weight) : 0;
      if (s.values[a] < s.values[b - 1] && e > most) {
        most = e;
        worst = i;
      }
    });
    if (worst < 0) break;
    // The worst cell splits at the middle of its range; the empty level takes the mean of the upper part.
    const [a, b] = ends[worst];
    const middle = Math.min(b - 1, Math.max(a + 1, rankOf(s.values, (s.values[a] + s.values[b - 1]) / 2)));
    ends[worst] = [a, middle];
    ends.push([middle, b]);
    const weight = s.w[b] - s.w[middle];
    if (weight > 0) next[k] = (s.wx[b] - s.wx[middle]) / weight;
  }
  return next.sort();
}

/** Fixed starting points: even steps over ±amax (so the result never errs more than integers), over the range, and quantiles. */
function starts(s: Sorted, count: number): Float32Array[] {
  const n = s.values.length;
  const lo = s.values[0];
  const hi = s.values[n - 1];
  const amax = Math.max(Math.abs(lo), Math.abs(hi));
  const symmetric = Float32Array.from({ length: count }, (_, k) => Math.fround((amax / Math.max(1, count / 2 - 1)) * (k - count / 2)));
  const even = Float32Array.from({ length: count }, (_, k) => lo + ((hi - lo) * (k + 0.5)) / count);
  const quantiles = Float32Array.from({ length: count }, (_, k) => s.values[Math.min(n - 1, Math.floor(((k + 0.5) * n) / count))]);
  const between = even.map((x, k) => (x + quantiles[k]) / 2);
  return [symmetric, even, quantiles, between];
}

/** Levels of least weighted squared error found for the values, ascending. Unweighted or all-zero weights count every value alike. */
export function kmeansLevels(values: Float32Array, count: number, weights?: Float32Array): Float32Array {
  if (values.length === 0) return new Float32Array(count);
  const useful = weights?.subarray(0, values.length).some((w) => w > 0) ? weights : undefined;
  const s = sorted(values, useful);
  let best: { levels: Float32Array; error: number } | undefined;
  for (const start of starts(s, count)) {
    const found = lloyd(s, start);
    if (best === undefined || found.error < best.error) best = found;
  }
  return best!.levels;
}

export function kmeansFormat(bits: number, kind: 'tensor' | 'channel'): ScaledFormat {
  const granularity = { kind } as const;
  const name = `kmeans${bits}/${spellGranularity(granularity)}`;
  const count = 2 ** bits;

  function fit(values: Float32Array, rows: number, cols: number, options: EncodeOptions = {}): Fit {
    checkInput(values, rows, cols, options);
    if (options.scaleRule !== undefined) throw errors.scaleRule({ rule: options.scaleRule, format: name, fits: 'none' });
    const tiling = tilingOf(granularity, rows, cols);
    const tiles = tiling.shape[0];
    const load = tileLoader(values, tiling, cols, options.importance);
    const codebook = new Float32Array(tiles * count);
    for (let at = 0; at < tiles; at++) {
      const tile = load(at);
      codebook.set(kmeansLevels(tile.values, count, tile.weights), at * count);
    }
    return { scales: new Float32Array(tiles).fill(1), scaleShape: tiling.shape, codebook };
  }

  function encodeWith(values: Float32Array, rows: number, cols: number, fitted: Fit): Quantized {
    const codes = new Uint8Array(values.length);
    const { codebook = new Float32Array(0) } = fitted;
    forEachRun(tilingOf(granularity, rows, cols), (begin, end, at) => {
      const bounds = boundariesOf(codebook, at * count, count);
      for (let i = begin; i < end; i++) codes[i] = indexBelow(bounds, values[i]);
    });
    const quantized = { format: name, rows, cols, codes, ...fitted, squaredError: 0 };
    return { ...quantized, squaredError: squaredDistance(decode(quantized), values) };
  }

  function decode({ rows, cols, codes, codebook = new Float32Array(0) }: Quantized): Float32Array {
    if (codes.length !== rows * cols) throw errors.codesMismatch({ format: name, length: codes.length, rows, cols });
    const out = new Float32Array(rows * cols);
    forEachRun(tilingOf(granularity, rows, cols), (begin, end, at) => {
      for (let i = begin; i < end; i++) out[i] = codebook[at * count + codes[i]];
    });
    return out;
  }

  return {
    name, family: 'codebook', bits, group: Infinity, granularity, scaleType: scaleTypes.f32,
    bitsPerWeight: (rows, cols) => bits + (tilingOf(granularity, rows, cols).shape[0] * count * 32) / Math.max(1, rows * cols),
    refuses: () => undefined,
    fit, encodeWith, decode,
    encode: (values, rows, cols, options) => encodeWith(values, rows, cols, fit(values, rows, cols, options)),
    rounder(fitted, rows, cols) {
      const { codebook = new Float32Array(0), scaleShape } = fitted;
      const tileIndex = scaleIndexer(tilingOf(granularity, rows, cols), rows, cols);
      const bounds = Array.from({ length: scaleShape[0] }, (_, at) => boundariesOf(codebook, at * count, count));
      return {
        code: (x, row, col) => indexBelow(bounds[tileIndex(row, col)], x),
        value: (code, row, col) => codebook[tileIndex(row, col) * count + code],
      };
    },
  };
}
