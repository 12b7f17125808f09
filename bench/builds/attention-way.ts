/** Attention of one seeded head in codes, as a thing to be timed. */
import { attentionKernels, codeScratchBytes, packedCodeBytes, type KeysPlace, type LowBitAttention } from '../../src/engine/kernels/attention.ts';
import type { Build } from '../../src/engine/kernels/builds.ts';
import { normal } from '../../src/numeric/random.ts';
import { Arena } from '../../src/runtime/arena.ts';

export function attentionWay(count: number, width: number, how: LowBitAttention, build: Build): () => void {
  const arena = new Arena();
  const [query, keys, values, out] = [1, 2, 3, 4].map(() => arena.take(4 * count * width));
  [query, keys, values].forEach((at, i) => arena.floats(at, count * width).set(Float32Array.from({ length: count * width }, (_, j) => normal(i, 0, j))));
  const [packed, scratch] = [arena.take(packedCodeBytes(count, width)), arena.take(codeScratchBytes(count, width))];
  const head: KeysPlace = { keys, values, stride: 4 * width, count, width };
  const kernels = attentionKernels(arena.memory, build);
  return () => {
    kernels.packCodes(head, how, scratch, packed);
    kernels.attendCodes({ query, queryStride: 4 * width, rows: count, out, outStride: 4 * width, scale: 1 / Math.sqrt(width), visible: { shown: count, step: 0 } }, head, how, packed, scratch);
  };
}
