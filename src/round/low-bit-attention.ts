/**
 * Attention of one head as SageAttention2 computes it, with each part of the arithmetic a choice: what is smoothed, which
 * rows share a scale, whether probabilities and values are FP8 and what sums them. What no choice rounds is float64.
 */
import { smoothedRows, tileKeys, type Visible } from '../engine/kernels/attention.ts';
import { decodeMiniFloat, e4m3, encodeMiniFloat } from '../formats/minifloat-code.ts';
import { roundToHalf } from '../numeric/half.ts';
import { encodeRows, smoothRows, type RowGrouping } from './attention-codes.ts';

export interface AttentionHead {
  /** [rows, width] */
  readonly query: Float32Array;
  /** [keys, width] */
  readonly keys: Float32Array;
  readonly values: Float32Array;
  readonly width: number;
  /** Default all keys for every row. */
  readonly visible?: Visible;
  /** Default 1 / √width. */
  readonly scale?: number;
}

/**
 * What adds up products of a tile: float64; a register of 13 mantissa bits for all keys, or a fresh one per tile; or a half
 * one per tile, for which values are scaled to 2.25 so that it never overflows.
 */
export type Accumulator = 'float' | 'single' | 'two-level' | 'half';

export interface AttentionArithmetic {
  readonly smooth: { readonly queries: boolean; readonly keys: boolean; readonly values: boolean };
  /** Codes of queries and keys; floats where absent. */
  readonly codes?: { readonly bits: 4 | 8; readonly grouping: RowGrouping };
  /** E4M3 probabilities and values; floats where absent. */
  readonly fp8?: Accumulator;
}

export interface Attended {
  /** [rows, width]; zeros for rows that see no key. */
  readonly output: Float32Array;
  /** log Σ e^s of each row, of the scores before anything was taken out. */
  readonly logSumExp: Float64Array;
}

/** Products that a tensor core adds to its register at a time. */
const step = 32;
/** What probabilities are multiplied by: just under 448, so that no code saturates. */
export const spread = 2 ** 8.807;

export const nothingSmoothed = { queries: false, keys: false, values: false } as const;
export const exactArithmetic: AttentionArithmetic = { smooth: nothingSmoothed };

export function lowBitAttention({ query, keys, values, width, visible, scale = 1 / Math.sqrt(width) }: AttentionHead, { smooth, codes, fp8 }: AttentionArithmetic): Attended {
  const [rows, count] = [query.length / width, keys.length / width];
  const seen = visible ?? { shown: count, step: 0 };
  const zeros = { rest: undefined, means: [] as readonly Float64Array[] };
  const smoothKeys = smooth.keys ? smoothRows(keys, width) : zeros;
  const smoothQueries = smooth.queries ? smoothRows(query, width, smoothedRows) : zeros;
  const [q, k] = [smoothQueries.rest ?? query, smoothKeys.rest ?? keys];
  const [Q, K] = codes === undefined ? [{ codes: q, scales: undefined }, { codes: k, scales: undefined }] : [encodeRows(q, width, codes.bits, codes.grouping, 'queries'), encodeRows(k, width, codes.bits, codes.grouping, 'keys')];
  const V = fp8 === undefined ? plainValues(values, width, smooth.values) : fp8Values(values, width, smooth.values, fp8 === 'half' ? 2.25 : e4m3.max);
  const sum = sums[fp8 ?? 'float'];
  const output = new Float32Array(rows * width);
  const logSumExp = new Float64Array(rows).fill(-Infinity);
  const scores = new Float64Array(tileKeys);
  for (let r = 0; r < rows; r++) {
    const to = Math.max(0, Math.min(count, seen.shown + r * seen.step));
    const from = Math.max(0, to - (seen.window ?? Infinity));
    if (from >= to) continue;
    const mean = smoothQueries.means[Math.floor(r / smoothedRows)];
    let [top, norm] = [-Infinity, 0];
    let kept = new Float64Array(width);
    for (let tile = Math.floor(from / tileKeys) * tileKeys; tile < to; tile += tileKeys) {
      const [first, last] = [Math.max(tile, from), Math.min(tile + tileKeys, to)];
      let high = top;
      for (let key = first; key < last; key++) {
        let score = dot(Q.codes, r * width, K.codes, key * width, width) * (Q.scales === undefined ? 1 : Q.scales[r] * K.scales![key]);
        // What the mean of the queries took out differs by key: it is put back from keys that no code rounded.
        if (mean !== undefined) score += dot(mean, 0, k, key * width, width);
        scores[key - tile] = score * scale;
        high = Math.max(high, scores[key - tile]);
      }
      const keep = Math.exp(top - high);
      norm *= keep;
      for (let i = 0; i < width; i++) kept[i] *= keep;
      const weights = new Float64Array(last - first);
      for (let key = first; key < last; key++) {
        const weight = Math.exp(scores[key - tile] - high) * (fp8 === undefined ? 1 : spread);
        norm += weight;
        weights[key - first] = fp8 === undefined ? weight : roundToE4m3(weight);
      }
      kept = sum(kept, weights, V.values, first, width);
      top = high;
    }
    for (let i = 0; i < width; i++) output[r * width + i] = (kept[i] * V.scales[i]) / norm + V.means[i];
    logSumExp[r] = top + Math.log(fp8 === undefined ? norm : norm / spread) + (smooth.keys ? dot(smoothKeys.means[0], 0, query, r * width, width) * scale : 0);
  }
  return { output, logSumExp };
}

function dot(a: ArrayLike<number>, at: number, b: ArrayLike<number>, from: number, width: number): number {
  let total = 0;
  for (let i = 0; i < width; i++) total += a[at + i] * b[from + i];
  return total;
}

const roundToE4m3 = (x: number): number => decodeMiniFloat(encodeMiniFloat(x, e4m3), e4m3);

interface Values { readonly values: Float32Array; readonly scales: Float64Array; readonly means: Float64Array }

function plainValues(values: Float32Array, width: number, smooth: boolean): Values {
  const { rest, means } = smooth ? smoothRows(values, width) : { rest: values, means: [new Float64Array(width)] };
  return { values: rest, means: means[0], scales: new Float64Array(width).fill(1) };
}

/** A scale per channel over all tokens; a channel of zeros takes scale 1. */
function fp8Values(values: Float32Array, width: number, smooth: boolean, largest: number): Values {
  const plain = plainValues(values, width, smooth);
  const tops = new Float64Array(width);
  plain.values.forEach((value, i) => { tops[i % width] = Math.max(tops[i % width], Math.abs(value)); });
  const scales = tops.map((top) => (top > 0 ? top / largest : 1));
  return { ...plain, scales, values: plain.values.map((value, i) => roundToE4m3(value / scales[i % width])) };
}

type Sum = (kept: Float64Array<ArrayBuffer>, weights: Float64Array, values: Float32Array, first: number, width: number) => Float64Array<ArrayBuffer>;

/** Adds runs of products to a register that is cut or rounded after each. */
const stepwise = (start: Float64Array<ArrayBuffer>, weights: Float64Array, values: Float32Array, first: number, width: number, cut: (x: number) => number): Float64Array<ArrayBuffer> => {
  const register = start.map(cut);
  for (let begin = 0; begin < weights.length; begin += step) {
    const end = Math.min(weights.length, begin + step);
    for (let i = 0; i < width; i++) {
      let total = register[i];
      for (let c = begin; c < end; c++) total += weights[c] * values[(first + c) * width + i];
      register[i] = cut(total);
    }
  }
  return register;
};

/** Adds a register that begins at zero to what is kept. */
const fresh = (cut: (x: number) => number): Sum => (kept, weights, values, first, width) => {
  const register = stepwise(new Float64Array(width), weights, values, first, width, cut);
  return kept.map((value, i) => Math.fround(value + register[i]));
};

const sums: Readonly<Record<Accumulator, Sum>> = {
  float(kept, weights, values, first, width) {
    const next = kept.slice();
    for (let c = 0; c < weights.length; c++) for (let i = 0; i < width; i++) next[i] += weights[c] * values[(first + c) * width + i];
    return next;
  },
  single: (kept, weights, values, first, width) => stepwise(kept, weights, values, first, width, cutMantissa),
  'two-level': fresh(cutMantissa),
  half: fresh(roundToHalf),
};

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The float32 towards zero, cut to 13 bits of mantissa: what FP8 products are summed in on the GPUs of the paper. */
export function cutMantissa(x: number): number {
  float[0] = x;
  word[0] &= 0xfffffc00;
  return float[0];
}
