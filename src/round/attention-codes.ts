/**
 * Queries and keys as low-bit attention encodes them (SageAttention2, arXiv:2411.10958): means are taken out, rows in
 * groups share a scale, and codes are symmetric integers rounded half away from zero.
 */
import { smoothedRows, tileKeys, type Grouping } from '../engine/kernels/attention.ts';

/** Rows that share a scale: all, tiles of 128 queries and 64 keys, 32 queries, those that a GPU's thread holds, or none. */
export type RowGrouping = 'tensor' | Grouping;
export type Side = 'queries' | 'keys';

/** Number of the group that a row belongs to. */
export function rowGroup(grouping: RowGrouping, side: Side, row: number): number {
  if (grouping === 'tensor') return 0;
  if (grouping === 'token') return row;
  if (side === 'keys') {
    const tile = Math.floor(row / tileKeys);
    return grouping === 'thread' ? tile * 4 + Math.floor((row % 8) / 2) : tile;
  }
  if (grouping === 'tile') return Math.floor(row / smoothedRows);
  const warp = Math.floor(row / 32);
  return grouping === 'warp' ? warp : warp * 8 + (row % 8);
}

export interface RowCodes {
  /** [rows, width] */
  readonly codes: Int8Array;
  /** One per row, the same for all rows of a group. */
  readonly scales: Float32Array;
}

/** Scale = absmax / largest code + 1e-7: the addend keeps halves below the tie, and zeros from a scale of zero. */
export function encodeRows(x: Float32Array, width: number, bits: 4 | 8, grouping: RowGrouping, side: Side, epsilon = 1e-7): RowCodes {
  const largest = 2 ** (bits - 1) - 1;
  const rows = x.length / width;
  const tops = new Map<number, number>();
  for (let r = 0; r < rows; r++) {
    const group = rowGroup(grouping, side, r);
    let top = tops.get(group) ?? 0;
    for (let i = r * width; i < (r + 1) * width; i++) top = Math.max(top, Math.abs(x[i]));
    tops.set(group, top);
  }
  const scales = Float32Array.from({ length: rows }, (_, r) => Math.fround(tops.get(rowGroup(grouping, side, r))! / largest) + Math.fround(epsilon));
  const codes = Int8Array.from(x, (value, i) => {
    const y = Math.fround(value / scales[Math.floor(i / width)]);
    return Math.trunc(y + 0.5 * Math.sign(y));
  });
  return { codes, scales };
}

/** Mean of each channel of rows [first, last). */
export function channelMeans(x: Float32Array, width: number, first = 0, last = x.length / width): Float64Array {
  const sums = new Float64Array(width);
  for (let r = first; r < last; r++) for (let i = 0; i < width; i++) sums[i] += x[r * width + i];
  return sums.map((sum) => sum / (last - first));
}

export interface Smoothed {
  /** What is left, [rows, width]. */
  readonly rest: Float32Array;
  /** What was taken out of each `together` rows. */
  readonly means: readonly Float64Array[];
}

/** Takes the mean of each so many rows out of them; all rows where `together` is not given. */
export function smoothRows(x: Float32Array, width: number, together = x.length / width): Smoothed {
  const means = Array.from({ length: Math.ceil(x.length / width / together) }, (_, t) => channelMeans(x, width, t * together, Math.min(x.length / width, (t + 1) * together)));
  return { means, rest: x.map((value, i) => value - means[Math.floor(i / width / together)][i % width]) };
}
