/** Keys and values that a layer keeps of the tokens it has seen, and attention over them. */
import type { LowBitKernels } from '../engine/kernels/lowbit.ts';
import type { Arena } from './arena.ts';

export interface KvCache {
  /** Bytes that the cache holds. */
  readonly bytes: number;
  /** Addresses of the float rows [count, kvHeads · headDim] that tokens at `position` and after it fill before they attend. */
  place(position: number, count: number): { readonly keys: number; readonly values: number };
  /**
   * Attention of one token's queries [heads, headDim] over positions [from, to), then over the `listed` ones in their
   * order, which lie in the rows that were placed last; the result lies like the queries.
   */
  attend(queries: number, out: number, from: number, to: number, listed?: readonly number[]): void;
  /** The same of four tokens that follow each other, `stride` bytes apart, row r over positions [from, to + r); absent where a cache takes them one by one. */
  attendRows?(queries: number, out: number, stride: number, from: number, to: number): void;
  /** Of the rows that were placed last, at `position`, the chosen ones (ascending) become the first. */
  keep(position: number, chosen: readonly number[]): void;
  /** Forgets what lies at `position` and after it; gives the position that is reached, which is 0 where the cache no longer holds what it would need to go on from there. */
  rewind(position: number): number;
}

/** What all layers share: sizes, and addresses of what attention passes through. */
export interface CacheShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Positions that fit. */
  readonly context: number;
  /** Rows that are placed together at most. */
  readonly chunk: number;
  /** Room for 4 · (context + 8) floats, and for the numbers of `chunk` listed positions. */
  readonly scores: number;
  readonly listed: number;
}

/** Everything in float32, [context, kvHeads, headDim]. */
export function floatCache(arena: Arena, kernels: LowBitKernels, { heads, kvHeads, headDim, context, scores, listed: list }: CacheShape): KvCache {
  const width = kvHeads * headDim;
  const [keys, values] = [arena.take(4 * context * width), arena.take(4 * context * width)];
  return {
    bytes: 8 * context * width,
    place: (position) => ({ keys: keys + 4 * position * width, values: values + 4 * position * width }),
    attend(queries, out, from, to, listed = []) {
      new Uint32Array(arena.memory.buffer, list, listed.length).set(listed);
      for (let h = 0; h < heads; h++) {
        const head = 4 * headDim * Math.floor((h * kvHeads) / heads);
        kernels.attend(queries + 4 * h * headDim, keys + head, values + head, 4 * width, from, to, headDim, 1 / Math.sqrt(headDim), scores, out + 4 * h * headDim, list, listed.length);
      }
    },
    attendRows(queries, out, stride, from, to) {
      for (let h = 0; h < heads; h++) {
        const head = 4 * headDim * Math.floor((h * kvHeads) / heads);
        kernels.attendRows(queries + 4 * h * headDim, stride, keys + head, values + head, 4 * width, from, to, headDim, 1 / Math.sqrt(headDim), scores, out + 4 * h * headDim, stride);
      }
    },
    keep(position, chosen) {
      for (const at of [keys, values]) chosen.forEach((row, i) => arena.floats(at + 4 * (position + i) * width, width).set(arena.floats(at + 4 * (position + row) * width, width)));
    },
    rewind: (position) => position,
  };
}
