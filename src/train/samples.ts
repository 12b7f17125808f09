/**
 * Calibration samples in equal chunks, and what a network computes from them: each value as one tensor per chunk, held
 * as long as a later part of the network reads it.
 */
import type { Feeds } from '../engine/session.ts';
import type { Tensor } from '../engine/tensor.ts';
import { joinRows, takeRows } from '../observe/data/dataset.ts';
import { noBatches, type Batches } from '../observe/taps.ts';

/** Every sample of the batches that is shaped like the first, as feeds of one sample each. */
export async function sampleRows(batches: Batches): Promise<Feeds[]> {
  const rows: Feeds[] = [];
  for await (const feeds of batches) {
    const count = Object.values(feeds)[0]?.shape[0] ?? 0;
    for (let i = 0; i < count; i++) rows.push(Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, takeRows(tensor, [i])])));
  }
  const shapeOf = (feeds: Feeds): string => JSON.stringify(Object.entries(feeds).map(([name, { shape }]) => [name, shape]));
  return rows.filter((row) => shapeOf(row) === shapeOf(rows[0]));
}

/** Feeds of `batch` samples each; samples that fill no chunk are left out. */
export function inChunks(rows: readonly Feeds[], batch: number): Feeds[] {
  const chunks: Feeds[] = [];
  for (let begin = 0; begin + batch <= rows.length; begin += batch) {
    const part = rows.slice(begin, begin + batch);
    chunks.push(Object.fromEntries(Object.keys(part[0]).map((name) => [name, joinRows('calibration', name, part.map((row) => row[name]))])));
  }
  if (chunks.length === 0) throw noBatches({});
  return chunks;
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
