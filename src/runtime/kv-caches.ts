/** Caches of keys and values by the name that users give them. */
import type { LowBitKernels } from '../engine/kernels/lowbit.ts';
import type { Arena } from './arena.ts';
import { floatCache, type CacheShape, type KvCache } from './kv-cache.ts';
import { blockCache, integerBlocks } from './kv-cache-blocks.ts';
import { vidBlocks } from './kv-cache-vid.ts';

export const cacheFormats = ['float', 'int8', 'int4', 'vidkv'] as const;
export type CacheFormat = (typeof cacheFormats)[number];
/** Makes the cache of a layer, for those that bring their own. */
export type OpenCache = (arena: Arena, kernels: LowBitKernels, shape: CacheShape) => KvCache;

export function openCache(format: CacheFormat | OpenCache, arena: Arena, kernels: LowBitKernels, shape: CacheShape): KvCache {
  if (typeof format === 'function') return format(arena, kernels, shape);
  switch (format) {
    case 'float': return floatCache(arena, kernels, shape);
    case 'int8': return blockCache(integerBlocks(8, arena, shape.headDim), arena, shape);
    case 'int4': return blockCache(integerBlocks(4, arena, shape.headDim), arena, shape);
    case 'vidkv': return blockCache(vidBlocks(arena, shape.headDim), arena, shape);
  }
}
