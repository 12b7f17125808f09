/** What a reader under attack consists of, and what all of them do with an input that opens. */
import { memorySink, type ByteSink } from '../../src/files/source.ts';
import type { TensorRef } from '../../src/tensor-ref.ts';
import { readFloats } from '../../src/files/values.ts';
import type { Structure } from './mutate.ts';

export interface Target {
  readonly structure: Structure;
  seeds(): Promise<readonly Uint8Array[]>;
  /** Reads an input and whatever it leads to; gives a word on what came out. */
  run(bytes: Uint8Array): Promise<string>;
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export async function written(write: (sink: ByteSink) => Promise<void>): Promise<Uint8Array> {
  const sink = memorySink();
  await write(sink);
  return sink.bytes();
}

/** Reads tensors that are not larger than the input could make them, as bytes and as numbers. */
export async function touch(tensors: Iterable<TensorRef>): Promise<string> {
  let count = 0;
  let refused: unknown;
  for (const found of tensors) {
    if (++count > 64) break;
    if (found.byteLength > 2 ** 20) continue;
    const bytes = await found.read();
    if (bytes.byteLength !== found.byteLength) throw new Error(`${found.byteLength} bytes announced, ${bytes.byteLength} read`);
    if (found.byteLength > 0) await found.read(0, 1);
    try { await readFloats(found); } catch (error) { refused = error; }
  }
  if (refused !== undefined) throw refused;
  return `${Math.min(count, 4)} tensors`;
}
