/** A list of tensors cut into parts for several files. */
import type { TensorOut } from '../tensor-ref.ts';

/** Parts in order, each as large as the limit in bytes allows; a tensor is never cut, so one may exceed it. */
export function tensorParts<T extends Pick<TensorOut, 'byteLength'>>(tensors: readonly T[], limit: number): T[][] {
  const parts: T[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes > 0 && bytes + tensor.byteLength > limit) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(tensor);
    bytes += tensor.byteLength;
  }
  return parts;
}
