/** Models run in both engines: tensors as JSON, small low-bit graphs, and how far two outputs lie apart. */
import type { Engine, SessionOptions } from '../../src/engine/session.ts';
import type { Tensor, TensorData } from '../../src/engine/tensor.ts';
import { typedData } from '../../src/observe/data/npy.ts';
import { byteLengthOf, type ElementType } from '../../src/tensor-ref.ts';

/** A tensor that survives JSON. */
export interface PlainTensor { readonly type: ElementType; readonly shape: readonly number[]; readonly data: readonly number[] }

export const plain = ({ type, shape, data }: Tensor): PlainTensor => ({ type, shape, data: Array.from(data as ArrayLike<number | bigint>, Number) });

export function dense({ type, shape, data }: PlainTensor): Tensor {
  const filled = typedData(type, new Uint8Array(byteLengthOf(type, shape)));
  for (let i = 0; i < data.length; i++) filled[i] = filled instanceof BigInt64Array || filled instanceof BigUint64Array ? BigInt(data[i]) : data[i];
  return { type, shape, data: filled as TensorData };
}

export type PlainTensors = Readonly<Record<string, PlainTensor>>;

const mapped = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]));

/** Outputs of a model for each of the feeds. */
export async function runOn(engine: Engine, bytes: Uint8Array, feeds: readonly PlainTensors[], options: SessionOptions = {}): Promise<PlainTensors[]> {
  const session = await engine.open({ bytes }, options);
  try {
    const outputs: PlainTensors[] = [];
    for (const feed of feeds) outputs.push(mapped(await session.run(mapped(feed, dense)), plain));
    return outputs;
  } finally {
    await session.dispose();
  }
}

/** Largest difference of any output, in units of the largest magnitude of that output; infinite for a NaN or another shape. */
export function distance(a: readonly PlainTensors[], b: readonly PlainTensors[]): number {
  let worst = 0;
  a.forEach((outputs, i) => {
    for (const [name, { data }] of Object.entries(outputs)) {
      const other = b[i][name].data;
      const scale = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
      const apart = data.reduce((most, value, k) => Math.max(most, Math.abs(value - other[k])), 0) / scale;
      worst = Math.max(worst, other.length === data.length && !Number.isNaN(apart) ? apart : Infinity);
    }
  });
  return worst;
}
