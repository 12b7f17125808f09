/** Tensors of a model read into an arena: matrices repacked for the kernels, vectors as floats. */
import { readFloats } from '../files/values.ts';
import type { TensorRef } from '../tensor-ref.ts';
import type { Arena } from './arena.ts';
import { packMatrix, type PackedMatrix } from './packed-matrix.ts';

export interface ArenaWeights {
  matrix(name: string): Promise<PackedMatrix>;
  /** Undefined where the model has no such tensor. */
  values(name: string): Promise<Float32Array | undefined>;
  /** Address of values, with room to read four more; 0 where there are none. */
  placed(values: Float32Array | undefined): number;
  vector(name: string): Promise<number>;
}

export function arenaWeights(tensors: ReadonlyMap<string, TensorRef>, arena: Arena, onTensor?: (name: string, done: number, total: number) => void): ArenaWeights {
  let done = 0;
  const took = (name: string): void => onTensor?.(name, ++done, tensors.size);
  const values = async (name: string): Promise<Float32Array | undefined> => {
    const tensor = tensors.get(name);
    if (tensor === undefined) return undefined;
    const found = await readFloats(tensor);
    took(name);
    return found;
  };
  const placed = (found: Float32Array | undefined): number => {
    if (found === undefined) return 0;
    const at = arena.take(4 * (found.length + 4));
    arena.floats(at, found.length).set(found);
    return at;
  };
  return {
    values, placed,
    async matrix(name) {
      const packed = await packMatrix(tensors.get(name)!, arena);
      took(name);
      return packed;
    },
    vector: async (name) => placed(await values(name)),
  };
}
