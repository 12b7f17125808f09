/**
 * Samples that a model can be fed with, and what is known to be true about them. A data set is a count and
 * a function from sample numbers to one batch, so that folders of images are read when they are needed.
 */
import { defineErrors } from '../../errors.ts';
import type { Tensor, TensorData } from '../../engine/tensor.ts';
import type { Image } from './resize.ts';

/** A box in pixels of the original image. */
export interface Box { readonly category: number; readonly x0: number; readonly y0: number; readonly x1: number; readonly y1: number }

/** What is known about the samples of a batch, in their order. */
export type Labels =
  | { readonly kind: 'classes'; readonly values: readonly number[] }
  /** Next tokens, row-major [batch, tokens]. */
  | { readonly kind: 'tokens'; readonly values: Int32Array; readonly shape: readonly [batch: number, tokens: number] }
  | { readonly kind: 'boxes'; readonly values: readonly { readonly width: number; readonly height: number; readonly boxes: readonly Box[] }[] }
  /** The high-resolution images. */
  | { readonly kind: 'images'; readonly values: readonly Image[] };

export interface Batch {
  /** Tensors by input name; an image or a single array without a name is fed as `input`. */
  readonly feeds: Readonly<Record<string, Tensor>>;
  readonly labels?: Labels;
}

export interface Dataset {
  /** Where it came from, for the manifest. */
  readonly name: string;
  readonly count: number;
  /** Names of the feeds. */
  readonly names: readonly string[];
  readonly labels?: Labels['kind'];
  /** Names of the categories where the data says them. */
  readonly categories?: readonly string[];
  /** True when every sample has the same shape, so that a batch may hold several. */
  readonly uniform: boolean;
  /** Reads the samples with these numbers; the caller owns the result. */
  batch(indices: readonly number[]): Promise<Batch>;
}

const errors = defineErrors('dataset', {
  empty: (f: { name: string }) => `${f.name}: no samples`,
  outside: (f: { name: string; index: number; count: number }) => `${f.name}: sample ${f.index} of ${f.count}`,
  unevenCounts: (f: { name: string; first: string; firstCount: number; other: string; otherCount: number }) =>
    `${f.name}: ${f.first} has ${f.firstCount} samples, ${f.other} has ${f.otherCount}`,
  scalar: (f: { name: string; input: string }) => `${f.name}: ${f.input} has no sample axis`,
  tooFew: (f: { name: string; count: number; calibration: number }) =>
    [`${f.name}: ${f.count} samples cannot give ${f.calibration} for calibration and leave any to judge on`, 'give --eval-data, or fewer with --calibration N'] as const,
  differentShapes: (f: { name: string; input: string }) => `${f.name}: samples of ${f.input} have different shapes, batches need one`,
  badLabels: (f: { name: string; type: string; shape: string }) => `${f.name}: labels are ${f.type} [${f.shape}], expected one integer per sample`,
});

/** Rows of typed arrays: every tensor's first axis counts samples. `labels` holds one class per sample. */
export function arrayDataset(name: string, arrays: ReadonlyMap<string, Tensor>, labels?: Tensor): Dataset {
  const [first] = arrays;
  if (first === undefined) throw errors.empty({ name });
  const count = first[1].shape[0];
  for (const [input, tensor] of arrays) {
    if (tensor.shape.length === 0) throw errors.scalar({ name, input });
    if (tensor.shape[0] !== count) throw errors.unevenCounts({ name, first: first[0], firstCount: count, other: input, otherCount: tensor.shape[0] });
  }
  if (count === 0) throw errors.empty({ name });
  const classes = labels === undefined ? undefined : classList(name, labels);
  if (classes !== undefined && classes.length !== count) throw errors.unevenCounts({ name, first: first[0], firstCount: count, other: 'labels', otherCount: classes.length });
  return {
    name, count, names: [...arrays.keys()], uniform: true,
    ...(classes === undefined ? {} : { labels: 'classes' as const }),
    batch: async (indices) => {
      checkIndices(name, count, indices);
      const feeds: Record<string, Tensor> = {};
      for (const [input, tensor] of arrays) feeds[input] = takeRows(tensor, indices);
      return classes === undefined ? { feeds } : { feeds, labels: { kind: 'classes', values: indices.map((i) => classes[i]) } };
    },
  };
}

function classList(name: string, labels: Tensor): number[] {
  const flat = labels.shape.length === 1 || (labels.shape.length === 2 && labels.shape[1] === 1);
  if (!flat || labels.type.startsWith('f') || labels.type === 'bf16') throw errors.badLabels({ name, type: labels.type, shape: labels.shape.join(', ') });
  return Array.from(labels.data as ArrayLike<number | bigint>, Number);
}

export function checkIndices(name: string, count: number, indices: readonly number[]): void {
  if (indices.length === 0) throw errors.empty({ name });
  for (const index of indices) if (!Number.isInteger(index) || index < 0 || index >= count) throw errors.outside({ name, index, count });
}

/** The rows with these numbers along the first axis. */
export function takeRows(tensor: Tensor, indices: readonly number[]): Tensor {
  const width = tensor.data.length / tensor.shape[0];
  const data = emptyLike(tensor.data, width * indices.length);
  indices.forEach((index, row) => (data as Float32Array).set((tensor.data as Float32Array).subarray(index * width, (index + 1) * width), row * width));
  return { type: tensor.type, shape: [indices.length, ...tensor.shape.slice(1)], data };
}

/** Tensors of equal shape joined along the first axis. */
export function joinRows(name: string, input: string, tensors: readonly Tensor[]): Tensor {
  const [first] = tensors;
  if (tensors.length === 1) return first;
  const rest = first.shape.slice(1).join();
  let rows = 0;
  for (const tensor of tensors) {
    if (tensor.shape.slice(1).join() !== rest || tensor.type !== first.type) throw errors.differentShapes({ name, input });
    rows += tensor.shape[0];
  }
  const data = emptyLike(first.data, tensors.reduce((sum, tensor) => sum + tensor.data.length, 0));
  let to = 0;
  for (const tensor of tensors) { (data as Float32Array).set(tensor.data as Float32Array, to); to += tensor.data.length; }
  return { type: first.type, shape: [rows, ...first.shape.slice(1)], data };
}

const emptyLike = (data: TensorData, length: number): TensorData => new (data.constructor as new (length: number) => TensorData)(length);

/** The samples with these numbers, renumbered from zero. */
export function subset(dataset: Dataset, indices: readonly number[], name = dataset.name): Dataset {
  checkIndices(dataset.name, dataset.count, indices);
  return {
    ...dataset, name, count: indices.length,
    batch: async (wanted) => {
      checkIndices(name, indices.length, wanted);
      return dataset.batch(wanted.map((i) => indices[i]));
    },
  };
}

export interface Split {
  readonly calibration: Dataset;
  readonly evaluation: Dataset;
  /** Sample numbers of the calibration part in the whole, ascending; all others are judged on. */
  readonly calibrationIndices: readonly number[];
}

/** Draws `calibration` samples without replacement, seeded; the rest is for judging. No sample is in both. */
export function splitDataset(dataset: Dataset, { calibration, seed = 0 }: { calibration: number; seed?: number }): Split {
  const { name, count } = dataset;
  if (!Number.isInteger(calibration) || calibration < 1 || calibration >= count) throw errors.tooFew({ name, count, calibration });
  const order = shuffled(count, seed);
  const calibrationIndices = order.slice(0, calibration).sort((a, b) => a - b);
  const rest = order.slice(calibration).sort((a, b) => a - b);
  return {
    calibration: subset(dataset, calibrationIndices, `${name} (${calibration} of ${count} samples, seed ${seed})`),
    evaluation: subset(dataset, rest, `${name} (${rest.length} of ${count} samples, disjoint from calibration)`),
    calibrationIndices,
  };
}

/** A seeded permutation of 0..count−1 (Fisher–Yates; the same in every engine). */
export function shuffled(count: number, seed: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  let state = (seed ^ 0x9e3779b9) >>> 0;
  // mulberry32: 32-bit integer arithmetic only.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
