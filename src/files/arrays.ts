/** A few typed arrays and words about them as bytes: a safetensors file of one dimension. */
import { memorySink, memorySource } from './source.ts';
import { openSafetensors, writeSafetensors } from './safetensors.ts';

const kinds = { f64: Float64Array, f32: Float32Array, i8: Int8Array, u8: Uint8Array } as const;
type Kind = keyof typeof kinds;
export type PackedArray = Float64Array | Float32Array | Int8Array | Uint8Array;

export interface Packed { readonly arrays: ReadonlyMap<string, PackedArray>; readonly words: ReadonlyMap<string, string> }

const kindOf = (array: PackedArray): Kind => (Object.keys(kinds) as Kind[]).find((kind) => array instanceof kinds[kind])!;

export async function packArrays({ arrays, words }: Packed): Promise<Uint8Array> {
  const sink = memorySink();
  await writeSafetensors(sink, [...arrays].map(([name, array]) => ({
    name, type: kindOf(array), shape: [array.length], byteLength: array.byteLength,
    async *chunks() { yield new Uint8Array(array.buffer, array.byteOffset, array.byteLength); },
  })), words);
  return sink.bytes();
}

export async function unpackArrays(bytes: Uint8Array): Promise<Packed> {
  const { tensors, metadata } = await openSafetensors(memorySource('arrays', bytes));
  const arrays = new Map<string, PackedArray>();
  // What is read is a copy of its own.
  for (const [name, tensor] of tensors) arrays.set(name, new kinds[tensor.type as Kind]((await tensor.read()).buffer as ArrayBuffer));
  return { arrays, words: metadata };
}
