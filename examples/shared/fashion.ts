/** 900 labelled grey images of clothes, 28 × 28, ten classes: most to learn from, the others to judge. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { f32, i64 } from '../../src/engine/tensor.ts';
import { arrayDataset, readIdx, splitDataset, writeNpz, type Dataset } from '../../src/observe/data/index.ts';

const read = async (name: string) => readIdx(await readFile(join(import.meta.dirname, '../../assets/fashion-900', name)), name);

/** Input `x` [n, 1, 28, 28], pixels −1 to 1. */
export async function fashion(seed: number): Promise<{ readonly learned: Dataset; readonly judged: Dataset }> {
  const [{ shape, data }, labels] = [await read('images-idx3-ubyte.gz'), await read('labels-idx1-ubyte.gz')];
  const x = f32([shape[0], 1, 28, 28], Float32Array.from(data as Uint8Array, (pixel) => pixel / 127.5 - 1));
  const { calibration, evaluation } = splitDataset(arrayDataset('fashion-900', new Map([['x', x]]), labels), { calibration: 750, seed });
  return { learned: calibration, judged: evaluation };
}

/** A data set as a file that commands read. */
export async function asNpz(data: Dataset): Promise<Uint8Array> {
  const { feeds, labels } = await data.batch(Array.from({ length: data.count }, (_, i) => i));
  return writeNpz(new Map([['x', feeds.x], ['labels', i64([data.count], (labels as { values: readonly number[] }).values)]]));
}
