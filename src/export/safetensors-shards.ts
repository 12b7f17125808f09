/** Tensors cut into the files of a Hugging Face folder: one, or shards with an index of which tensor lies where. */
import { tensorParts } from '../files/tensor-parts.ts';
import type { TensorOut } from '../tensor-ref.ts';

/** The hub's own tools cut here: a shard is what a broken download has to fetch again. */
export const shardBytes = 5e9;

export interface Shard { readonly file: string; readonly tensors: readonly TensorOut[] }

/** Shards in order, each as large as the limit allows; a tensor is never cut. */
export function shardsOf(tensors: readonly TensorOut[], limit = shardBytes): Shard[] {
  const parts = tensorParts(tensors, limit);
  const digits = (number: number): string => String(number).padStart(5, '0');
  if (parts.length === 1) return [{ file: 'model.safetensors', tensors: parts[0] }];
  return parts.map((part, i) => ({ file: `model-${digits(i + 1)}-of-${digits(parts.length)}.safetensors`, tensors: part }));
}

/** `model.safetensors.index.json` of several shards. */
export function shardIndex(shards: readonly Shard[]): Record<string, unknown> {
  const all = shards.flatMap(({ file, tensors }) => tensors.map((tensor) => ({ file, tensor })));
  return {
    metadata: { total_size: all.reduce((sum, { tensor }) => sum + tensor.byteLength, 0) },
    weight_map: Object.fromEntries(all.map(({ file, tensor }) => [tensor.name, file])),
  };
}
