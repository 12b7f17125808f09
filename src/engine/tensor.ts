/** Dense tensors that go into and come out of sessions: a typed array with a shape. */
import type { ElementType } from '../tensor-ref.ts';

export type TensorData =
  | Float32Array | Float64Array | Uint16Array | Int8Array | Uint8Array
  | Int16Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;

/** f16 and bf16 travel as Uint16Array bit patterns, bool as Uint8Array. */
export interface Tensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export const f32 = (shape: readonly number[], data: Float32Array): Tensor => ({ type: 'f32', shape, data });
export const i64 = (shape: readonly number[], values: ArrayLike<number>): Tensor =>
  ({ type: 'i64', shape, data: BigInt64Array.from(values, (value) => BigInt(value)) });
