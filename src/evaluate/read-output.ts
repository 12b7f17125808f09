/** What an output of a network says to a person: classes with their probabilities, a picture, or numbers. */
import type { Tensor } from '../engine/tensor.ts';
import { areProbabilities, logSoftmax } from '../numeric/distribution.ts';
import type { Image } from '../observe/data/resize.ts';

export type OutputReading =
  | { readonly kind: 'classes'; readonly classes: readonly { readonly index: number; readonly name?: string; readonly probability: number }[] }
  | { readonly kind: 'picture'; readonly image: Image }
  | { readonly kind: 'numbers'; readonly least: number; readonly mean: number; readonly most: number };

export interface ReadingOptions {
  /** Classes that are named, likeliest first. */
  readonly top: number;
  /** Names of classes in order. */
  readonly names?: readonly string[];
}

/** Smaller planes are maps of features or boxes. */
const leastSide = 8;

/** Reads the output of one sample. Rows of at least two numbers are classes; one or three planes [1, c, height, width] are a picture, in 0…1 or 0…255. */
export function readOutput({ shape, data }: Tensor, { top, names }: ReadingOptions): OutputReading {
  const values = Float64Array.from(data as ArrayLike<number | bigint>, Number);
  const wide = shape.filter((dim) => dim !== 1);
  const [, channels, height, width] = shape;
  if (wide.length === 1 && wide[0] >= 2 && shape.length > 1) return { kind: 'classes', classes: classesOf(values, top, names) };
  if (shape.length === 4 && shape[0] === 1 && (channels === 1 || channels === 3) && Math.min(height, width) >= leastSide) return { kind: 'picture', image: pictureOf(values, channels, height, width) };
  const finite = values.filter(Number.isFinite);
  return { kind: 'numbers', least: finite.reduce((a, b) => Math.min(a, b), Infinity), mean: finite.reduce((a, b) => a + b, 0) / Math.max(1, finite.length), most: finite.reduce((a, b) => Math.max(a, b), -Infinity) };
}

function classesOf(values: Float64Array, top: number, names: readonly string[] | undefined): { index: number; name?: string; probability: number }[] {
  const likely = areProbabilities(values, values.length) ? values : logSoftmax(values, 0, values.length).map(Math.exp);
  return [...likely.keys()].sort((a, b) => likely[b] - likely[a] || a - b).slice(0, top)
    .map((index) => ({ index, ...((names?.[index] ?? '') === '' ? {} : { name: names![index] }), probability: likely[index] }));
}

/** Values up to 2 count from 0 to 1: networks overshoot a little, and a picture of 0…255 that is all black is none. */
function pictureOf(values: Float64Array, channels: 1 | 3, height: number, width: number): Image {
  const scale = values.every((value) => value <= 2) ? 255 : 1;
  const plane = height * width;
  const data = new Uint8Array(channels * plane);
  for (let at = 0; at < plane; at++) for (let c = 0; c < channels; c++) data[at * channels + c] = Math.min(255, Math.max(0, Math.round(values[c * plane + at] * scale)));
  return { width, height, channels, data };
}
