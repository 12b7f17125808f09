/** Attention of one seeded head in codes, as a thing to be timed. */
import { codeScratchBytes, packedCodeBytes, type AttentionKernels, type KeysPlace, type LowBitAttention } from '../../src/engine/kernels/attention.ts';
import { normal } from '../../src/numeric/random.ts';
import type { Arena } from '../../src/runtime/arena.ts';

export interface AttentionSize { readonly count: number; readonly width: number; readonly how: LowBitAttention; readonly members?: number }

/** Takes all memory; keys and values are packed in each run. */
export function attentionWay(arena: Arena, { count, width, how, members = 1 }: AttentionSize): (kernels: AttentionKernels) => void {
  const [query, keys, values, out] = [1, 2, 3, 4].map(() => arena.take(4 * count * width));
  [query, keys, values].forEach((at, i) => arena.floats(at, count * width).set(Float32Array.from({ length: count * width }, (_, j) => normal(i, 0, j))));
  const [packed, scratch] = [arena.take(packedCodeBytes(count, width)), arena.take(members * codeScratchBytes(count, width))];
  const head: KeysPlace = { keys, values, stride: 4 * width, count, width };
  return (kernels) => {
    kernels.packCodes(head, how, scratch, packed);
    kernels.attendCodes({ query, queryStride: 4 * width, rows: count, out, outStride: 4 * width, scale: 1 / Math.sqrt(width), visible: { shown: count, step: 0 } }, head, how, packed, scratch);
  };
}
