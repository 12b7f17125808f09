/** A matrix that is held as codes: what reads it as numbers gets what the codes stand for. */
import { valuesOf, type MatrixCodes } from '../formats/coded.ts';
import { lazyTensor } from '../graph/values.ts';
import type { TensorRef } from '../tensor-ref.ts';

/** [rows, cols], read as float32. */
export const codedTensor = (name: string, [rows, cols]: readonly [number, number], read: () => Promise<MatrixCodes>): TensorRef => ({
  ...lazyTensor(name, 'f32', [rows, cols], async () => {
    const { buffer, byteOffset, byteLength } = valuesOf(await read(), rows, cols);
    return new Uint8Array(buffer, byteOffset, byteLength);
  }),
  coded: { read },
});
