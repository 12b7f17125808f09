/** Inputs of the hosts whose samples are no files that the command line opens, written as such. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../../src/engine/tensor.ts';
import { takeRows } from '../../src/observe/data/dataset.ts';
import { writeNpz } from '../../src/observe/data/npz.ts';
import { shuffled, type Dataset } from '../../src/observe/data/index.ts';
import { cifarFiles, judgedImages, normalised, trainingImages } from '../../src/reproductions/data/cifar.ts';
import { openDit } from '../../src/reproductions/data/dit.ts';

export interface SampleFiles { readonly data: string; readonly evalData: string; readonly evalLabels?: string }

const write = (path: string, tensors: Readonly<Record<string, Tensor>>): string => {
  writeFileSync(path, writeNpz(new Map(Object.entries(tensors))));
  return path;
};

/** Points (x, t, y) of float trajectories: from noises of a seed to calibrate on, every fourth of the stored ones to judge. */
export async function ditSamples(asset: (path: string) => string, folder: string): Promise<SampleFiles> {
  const host = await openDit(asset, { threads: 2 });
  const every = Array.from({ length: 64 }, (_, i) => i * 4);
  mkdirSync(folder, { recursive: true });
  const files = {
    data: write(join(folder, 'points.npz'), await host.points(64, 1)),
    evalData: write(join(folder, 'judged.npz'), Object.fromEntries(Object.entries(host.judged).map(([name, tensor]) => [name, takeRows(tensor, every)]))),
  };
  await host.close();
  return files;
}

/** CIFAR-10 images as ResNet-20 takes them: 64 of the training part, 500 of the judged ones with their classes. */
export async function cifarSamples(asset: (path: string) => string, folder: string): Promise<SampleFiles> {
  mkdirSync(folder, { recursive: true });
  const judged = await judgedImages(asset(cifarFiles.judged), normalised);
  const training = await trainingImages(asset(cifarFiles.all), normalised);
  const batch = async (images: Dataset, chosen: readonly number[]) => images.batch(chosen);
  const { feeds, labels } = await batch(judged, Array.from({ length: 500 }, (_, i) => i * 4));
  const classes = labels?.kind === 'classes' ? labels.values : [];
  writeFileSync(join(folder, 'classes.txt'), Array.from(classes, String).join('\n'));
  return {
    data: write(join(folder, 'training.npz'), (await batch(training, shuffled(training.count, 0).slice(0, 64))).feeds), evalData: write(join(folder, 'judged.npz'), feeds), evalLabels: join(folder, 'classes.txt'),
  };
}
