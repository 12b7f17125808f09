/**
 * Calibration samples in equal chunks, and what a network computes from them: each value as one tensor per chunk, held
 * as long as a later part of the network reads it.
 */
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { joinRows, takeRows } from '../observe/data/dataset.ts';
import { noBatches, type Batches } from '../observe/taps.ts';

export interface Samples {
  /** Inputs of the network per chunk. */
  readonly chunks: readonly Feeds[];
  /** Samples in a chunk. */
  readonly batch: number;
}

/** All samples of the batches that are shaped like the first, `wanted` to a chunk, or as many as the network is fixed to. */
export async function gatherSamples(batches: Batches, wanted: number, fixed?: number): Promise<Samples> {
  const rows: Feeds[] = [];
  for await (const feeds of batches) {
    const count = Object.values(feeds)[0]?.shape[0] ?? 0;
    for (let i = 0; i < count; i++) rows.push(Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, takeRows(tensor, [i])])));
  }
  if (rows.length === 0) throw noBatches({});
  const shapeOf = (feeds: Feeds): string => JSON.stringify(Object.entries(feeds).map(([name, { shape }]) => [name, shape]));
  const alike = rows.filter((row) => shapeOf(row) === shapeOf(rows[0]));
  const batch = fixed ?? Math.min(wanted, alike.length);
  const chunks: Feeds[] = [];
  for (let begin = 0; begin + batch <= alike.length; begin += batch) {
    const part = alike.slice(begin, begin + batch);
    chunks.push(Object.fromEntries(Object.keys(part[0]).map((name) => [name, joinRows('calibration', name, part.map((row) => row[name]))])));
  }
  return { chunks, batch };
}

/** A batch of samples drawn from the chunks of one value; a value without a sample axis is the same in every chunk. */
export function drawRows(chunks: readonly Tensor[], batch: number, samples: readonly number[]): Tensor {
  const [first] = chunks;
  if (first.shape[0] !== batch) return chunks[Math.floor(samples[0] / batch)];
  const width = first.data.length / batch;
  const data = new (first.data.constructor as new (length: number) => Float32Array)(first.data.length);
  samples.forEach((sample, row) => {
    const from = (sample % batch) * width;
    data.set((chunks[Math.floor(sample / batch)].data as Float32Array).subarray(from, from + width), row * width);
  });
  return { ...first, data };
}

/** Each element from one of two tensors, as a coin says: 0 takes the first. */
export function mixed(a: Tensor, b: Tensor, coins: Uint8Array): Tensor {
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  const data = new Float32Array(x.length);
  for (let i = 0; i < data.length; i++) data[i] = coins[i] === 0 ? x[i] : y[i];
  return { ...a, data };
}
