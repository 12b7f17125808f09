/**
 * A cache whose older tokens are held in few bits, in blocks of 32 tokens; the newest tokens stay in float32.
 *
 * Which tokens a query reads in few bits is decided by how many tokens came before it alone, so that a text gives the same
 * bits however it is cut into chunks, and so do the tokens of a tree that are kept.
 */
import { defineErrors } from '../errors.ts';
import { attentionScratch, blockBytes, blockPositions, kvCacheKernels, widestHead, type BlockAttention, type BlockBits, type KvCacheKernels } from '../engine/kernels/kvcache.ts';
import type { Arena } from './arena.ts';
import type { CacheShape, KvCache } from './kv-cache.ts';

const errors = defineErrors('cache', {
  head: (f: { width: number }) => [`heads of ${f.width} are too wide for a cache in few bits, which takes up to ${widestHead}`, 'take --cache float'],
});

/** Tokens that may be taken back at any time, beyond those that were placed last. */
const reserve = 32;

/** How blocks of one head are written and read. */
export interface BlockCoding {
  /** Bytes of a block, of what attention passes through, and of what all blocks share. */
  readonly blockBytes: number;
  readonly scratchBytes: number;
  readonly tableBytes: number;
  /** Rounds the rows of `blockPositions` positions, `stride` bytes apart, into a block. */
  encode(keys: number, values: number, stride: number, block: number): void;
  attend(a: BlockAttention): void;
}

/** 4 or 8 bits (KIVI, 2024; COMET's KV4): keys per channel over a block, values per token, both between minimum and maximum. */
export function integerBlocks(bits: BlockBits, arena: Arena, width: number, kernels: KvCacheKernels = kvCacheKernels(arena.memory)): BlockCoding {
  if (width > widestHead) throw errors.head({ width });
  return {
    blockBytes: blockBytes(width, bits), scratchBytes: attentionScratch(width), tableBytes: 0,
    encode: (keys, values, stride, block) => kernels.encode(bits, keys, values, stride, width, block),
    attend: (a) => kernels.attend(bits, a),
  };
}

export function blockCache(coding: BlockCoding, arena: Arena, shape: CacheShape): KvCache {
  const { heads, kvHeads, headDim, context, chunk, scores, listed: list } = shape;
  // At least as many tokens stay float as a tree has, so that none of its tokens is rounded before it is kept.
  const residual = Math.max(blockPositions, chunk);
  /** Blocks that are read in few bits after `length` tokens. */
  const blocksAt = (length: number): number => Math.max(0, Math.floor((length - residual) / blockPositions));
  const stride = 4 * kvHeads * headDim;
  const rows = Math.min(context, chunk + reserve + residual + blockPositions);
  const [keys, values] = [arena.take(stride * rows), arena.take(stride * rows)];
  const [oneBlock, count] = [coding.blockBytes, blocksAt(context)];
  const blocks = arena.take(count * kvHeads * oneBlock);
  const scratch = arena.take(coding.scratchBytes);
  /** Position of the first float row, and blocks that are written. */
  let [start, written] = [0, 0];
  return {
    bytes: 2 * stride * rows + count * kvHeads * oneBlock + coding.tableBytes,
    place(position, added) {
      for (; written < blocksAt(position + added); written++) {
        const row = stride * (written * blockPositions - start);
        for (let h = 0; h < kvHeads; h++) coding.encode(keys + row + 4 * h * headDim, values + row + 4 * h * headDim, stride, blocks + (written * kvHeads + h) * oneBlock);
      }
      if (position + added > start + rows) {
        const next = blockPositions * blocksAt(position + 1 - reserve);
        for (const at of [keys, values]) arena.bytesAt(at, stride * rows).copyWithin(0, stride * (next - start), stride * (position - start));
        start = next;
      }
      const row = stride * (position - start);
      return { keys: keys + row, values: values + row };
    },
    attend(queries, out, from, to, listed = []) {
      new Uint32Array(arena.memory.buffer, list, listed.length).set(listed.map((position) => position - start));
      const [first, end] = [Math.floor(from / blockPositions), blocksAt(to + listed.length)];
      const held = Math.max(0, end - first);
      for (let h = 0; h < heads; h++) {
        const head = Math.floor((h * kvHeads) / heads);
        coding.attend({
          query: queries + 4 * h * headDim, width: headDim, scale: 1 / Math.sqrt(headDim),
          block: blocks + (first * kvHeads + head) * oneBlock, blockStride: kvHeads * oneBlock, blocks: held, from: held > 0 ? from % blockPositions : 0,
          keys: keys + 4 * head * headDim, values: values + 4 * head * headDim, stride, first: Math.max(from, end * blockPositions) - start, last: to - start,
          listed: list, more: listed.length, scores, scratch, out: out + 4 * h * headDim,
        });
      }
    },
    keep(position, chosen) {
      for (const at of [keys, values]) chosen.forEach((row, i) => arena.bytesAt(at + stride * (position + i - start), stride).set(arena.bytesAt(at + stride * (position + row - start), stride)));
    },
    rewind(position) {
      const held = start <= blockPositions * blocksAt(position + 1);
      if (!held) start = 0;
      written = held ? Math.min(written, Math.floor(position / blockPositions)) : 0;
      return held ? position : 0;
    },
  };
}
