/** Blocks of a cache in 1.5 bits for keys and 1.58 for values (VidKV): each head's half of the channels with the widest range takes 2 bits. */
import { blockPositions } from '../engine/kernels/kvcache.ts';
import { keyBytes, tritsOf, valueBytes, vidAttention, vidScratch, wavesOf, type VidAttention } from '../engine/kernels/vidkv.ts';
import type { Arena } from './arena.ts';
import type { BlockCoding } from './kv-cache-blocks.ts';
import { encodeKeys, encodeValues, loudChannels, type RowShape } from './vidkv.ts';

/** Bits of keys, of which half the channels take 2 and the others 1. */
const keyBits = 1.5;

export function vidBlocks(arena: Arena, width: number, attend: VidAttention = vidAttention(arena.memory)): BlockCoding {
  const [waves, trits] = [wavesOf(width), tritsOf()];
  const tables = { waves: arena.take(waves.byteLength), trits: arena.take(trits.byteLength) };
  arena.floats(tables.waves, waves.length).set(waves);
  new Int8Array(arena.memory.buffer, tables.trits, trits.length).set(trits);
  const shape: RowShape = { tokens: blockPositions, heads: 1, width };
  const rowsAt = (at: number, stride: number): Float32Array => {
    const rows = new Float32Array(blockPositions * width);
    for (let p = 0; p < blockPositions; p++) rows.set(arena.floats(at + p * stride, width), p * width);
    return rows;
  };
  return {
    blockBytes: keyBytes(width) + valueBytes(width), scratchBytes: vidScratch(width), tableBytes: waves.byteLength + trits.byteLength,
    encode(keysAt, valuesAt, stride, block) {
      const keys = rowsAt(keysAt, stride);
      arena.bytesAt(block, keyBytes(width)).set(encodeKeys(keys, shape, { loud: loudChannels(keys, shape, keyBits), others: 'signs of the spectrum' }));
      arena.bytesAt(block + keyBytes(width), valueBytes(width)).set(encodeValues(rowsAt(valuesAt, stride), shape, { format: 'ternary', along: 'tokens' }));
    },
    attend: (a) => attend(a, tables),
  };
}
