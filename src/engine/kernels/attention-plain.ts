/** The plain twins of the attention kernels: the same operations in the same order, each rounded to float32. */
import { rne } from '../../numeric/rounding.ts';
import { blockRows, lowBitSettings, resolved, smoothedRows, tileKeys, valueCodes, type AttentionInputs, type AttentionOptions, type LowBitAttention, type Visible } from './attention.ts';
import { exponential, lanes } from './exponential.ts';

const f = Math.fround;
const lowest = f(-1e38);

type Rows = readonly Float32Array[];
interface Keys { readonly keys: Rows; readonly values: Rows; readonly scale: number; readonly visible: Visible }

export function plainAttention(inputs: AttentionInputs, options: AttentionOptions = {}): Float32Array {
  const { heads, kvHeads, width } = inputs;
  const { rows, count, scale, visible } = resolved(inputs, options);
  const out = new Float32Array(inputs.query.length);
  const rowsOf = (data: Float32Array, head: number, length: number): Float32Array[] => Array.from({ length }, (_, r) => data.subarray((head * length + r) * width, (head * length + r + 1) * width));
  for (let h = 0; h < heads; h++) {
    const kv = Math.floor((h * kvHeads) / heads);
    const head: Keys = { keys: rowsOf(inputs.keys, kv, count), values: rowsOf(inputs.values, kv, count), scale: f(scale), visible };
    const query = rowsOf(inputs.query, h, rows);
    const made = options.lowBit === undefined ? floatHead(query, head) : codeHead(query, head, options.lowBit);
    made.forEach((row, r) => out.set(row, (h * rows + r) * width));
  }
  return out;
}

const seenBy = (row: number, count: number, { shown, step }: Visible): number => Math.max(0, Math.min(count, shown + row * step));

/** What is kept of a row between tiles. */
class Row {
  top = lowest;
  norm = 0;
  readonly mixed: Float32Array;
  constructor(width: number) { this.mixed = new Float32Array(width); }

  /** Takes in the scores of a tile: weights by key, sums by channel from `mix`. */
  take(scores: Float32Array, first: number, from: number, to: number, mix: (weights: Float32Array) => Float32Array): void {
    const weights = new Float32Array(Math.ceil(scores.length / 8) * 8).fill(-Infinity);
    scores.forEach((score, c) => { if (first + c >= from && first + c < to) weights[c] = score; });
    const top = Math.max(this.top, ...weights);
    const sums = [0, 0, 0, 0];
    weights.forEach((score, c) => {
      weights[c] = exponential(Math.max(f(score - top), -100));
      sums[c % 4] = f(sums[c % 4] + weights[c]);
    });
    const keep = exponential(Math.max(f(this.top - top), -100));
    this.top = top;
    this.norm = f(f(this.norm * keep) + lanes(sums));
    const mixed = mix(weights);
    for (let i = 0; i < mixed.length; i++) this.mixed[i] = f(f(this.mixed[i] * keep) + mixed[i]);
  }
}

/** Tiles that a block of rows sees any of. */
function* tilesOf(first: number, last: number, count: number, visible: Visible): Generator<number> {
  const near = Math.max(0, seenBy(first, count, visible) - (visible.window ?? 2 ** 31 - 1));
  for (let t = Math.floor(near / tileKeys); t * tileKeys < seenBy(last, count, visible); t++) yield t * tileKeys;
}

/** Every row beside every tile that its block sees; the bounds are those of the row. */
function eachRowAndTile(rows: number, count: number, visible: Visible, visit: (row: number, tile: number, from: number, to: number) => void): void {
  for (let block = 0; block < rows; block += blockRows) {
    const end = Math.min(rows, block + blockRows);
    for (const tile of tilesOf(block, end - 1, count, visible)) {
      for (let r = block; r < end; r++) {
        const to = seenBy(r, count, visible);
        visit(r, tile, to - (visible.window ?? 2 ** 31 - 1), to);
      }
    }
  }
}

/** Σ over ascending i of a(i) · b(i), each step rounded. */
function dot(length: number, a: (i: number) => number, b: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum = f(sum + f(a(i) * b(i)));
  return sum;
}

function floatHead(query: Rows, { keys, values, scale, visible }: Keys): Float32Array[] {
  const width = query[0].length;
  const scaled = query.map((row) => row.map((value) => value * scale));
  const state = query.map(() => new Row(width));
  eachRowAndTile(query.length, keys.length, visible, (r, tile, from, to) => {
    const here = keys.slice(tile, tile + tileKeys);
    const scores = Float32Array.from(here, (key) => dot(width, (i) => scaled[r][i], (i) => key[i]));
    state[r].take(scores, tile, from, to, (weights) => Float32Array.from({ length: width }, (_, i) => dot(here.length, (c) => weights[c], (c) => values[tile + c][i])));
  });
  return state.map(({ mixed, norm }) => mixed.map((value) => (norm > 0 ? value / norm : 0)));
}

/** Mean of each channel, or zeros. */
function means(rows: Rows, smooth: boolean): Float32Array {
  const sums = new Float32Array(rows[0].length);
  if (!smooth) return sums;
  for (const row of rows) row.forEach((value, i) => { sums[i] = f(sums[i] + value); });
  return sums.map((sum) => sum / rows.length);
}

function groupOf(grouping: number, row: number, ofKeys: boolean): number {
  if (grouping === 0) return row;
  if (grouping === 1) return ofKeys ? (row & 7) >> 1 : (row >> 5) * 8 + (row & 7);
  return grouping === 2 && !ofKeys ? row >> 5 : 0;
}

/** A tile of rows in codes, with a scale for each row. */
function encoded(rows: Rows, grouping: number, ofKeys: boolean, largest: number): { readonly codes: readonly Int32Array[]; readonly scales: readonly number[] } {
  const tops = new Map<number, number>();
  rows.forEach((row, r) => { tops.set(groupOf(grouping, r, ofKeys), Math.max(tops.get(groupOf(grouping, r, ofKeys)) ?? 0, ...row.map(Math.abs))); });
  const scales = rows.map((_, r) => f(f(tops.get(groupOf(grouping, r, ofKeys))! / largest) + f(1e-7)));
  return { scales, codes: rows.map((row, r) => Int32Array.from(row, (value) => awayFromZero(f(value / scales[r])))) };
}

const awayFromZero = (y: number): number => Math.trunc(f(y + (y < 0 ? -0.5 : 0.5)));

function codeHead(query: Rows, { keys, values, scale, visible }: Keys, how: LowBitAttention): Float32Array[] {
  const { largest, grouping, smooth } = lowBitSettings(how);
  const width = query[0].length;
  const less = (rows: Rows, mean: Float32Array): Float32Array[] => rows.map((row) => row.map((value, i) => value - mean[i]));
  const smoothKeys = less(keys, means(keys, smooth.keys));
  const keyTiles = Array.from({ length: Math.ceil(keys.length / tileKeys) }, (_, t) => encoded(smoothKeys.slice(t * tileKeys, (t + 1) * tileKeys), grouping, true, largest));
  const valueMean = means(values, smooth.values);
  const smoothValues = less(values, valueMean);
  const valueScale = valueMean.map((_, i) => {
    const top = Math.max(...smoothValues.map((row) => Math.abs(row[i])));
    return top > 0 ? top / valueCodes : 1;
  });
  const codesOfValues = smoothValues.map((row) => Int32Array.from(row, (value, i) => rne(f(value / valueScale[i]))));
  const mean: Float32Array[] = [];
  const codes: Int32Array[] = [];
  const scales: number[] = [];
  for (let start = 0; start < query.length; start += smoothedRows) {
    const together = query.slice(start, start + smoothedRows);
    const own = means(together, smooth.queries);
    const made = encoded(less(together, own), grouping, false, largest);
    mean.push(...together.map(() => own));
    codes.push(...made.codes);
    scales.push(...made.scales.map((value) => f(value * scale)));
  }
  const shifts = new Map<string, number>();
  const shiftOf = (r: number, key: number): number => {
    const name = `${Math.floor(r / smoothedRows)} ${key}`;
    if (!shifts.has(name)) shifts.set(name, smooth.queries ? f(dot(width, (i) => mean[r][i], (i) => smoothKeys[key][i]) * scale) : 0);
    return shifts.get(name)!;
  };
  const state = query.map(() => new Row(width));
  eachRowAndTile(query.length, keys.length, visible, (r, tile, from, to) => {
    const { codes: keyCodes, scales: keyScales } = keyTiles[tile / tileKeys];
    const scores = Float32Array.from(keyCodes, (key, c) => f(f(f(whole(width, (i) => codes[r][i] * key[i])) * f(scales[r] * keyScales[c])) + shiftOf(r, tile + c)));
    state[r].take(scores, tile, from, to, (weights) => {
      const rounded = weights.map((weight) => rne(f(weight * valueCodes)));
      return Float32Array.from({ length: width }, (_, i) => whole(keyCodes.length, (c) => rounded[c] * codesOfValues[tile + c][i]));
    });
  });
  return state.map(({ mixed, norm }) => mixed.map((value, i) => (norm > 0 ? f(f(value * f(valueScale[i] / valueCodes)) / norm) + valueMean[i] : 0)));
}

/** An exact sum of integers. */
function whole(length: number, product: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += product(i);
  return sum;
}
