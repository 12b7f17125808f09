/**
 * How an image becomes a network's input, as one record with one spelling:
 *
 *     rgb 224 crop, /255, mean=.485/.456/.406, std=.229/.224/.225, nchw
 *
 * Terms are separated by commas. The first may hold a colour order (rgb, bgr, gray), a size (224 or WIDTHxHEIGHT)
 * and how it is reached: `resize` (default: stretch), `crop` (short side to 8/7 of the size, then the middle),
 * `crop=256` (short side to 256, then the middle), with `bilinear` (default), `bicubic`, `area` or `nearest`.
 * Then `/255` (or `/` any divisor), `mean=` and `std=` (one value, or one per channel), `nchw` or `nhwc`, and `u8` for 8-bit inputs.
 * A pixel p becomes (p / divisor − mean) / std. Without a size the image keeps its own.
 */
import { defineErrors } from '../../errors.ts';
import type { Tensor } from '../../engine/tensor.ts';
import { centreCrop, resizeImage, type Filter, type Image } from './resize.ts';

export interface Preprocessing {
  readonly color: 'rgb' | 'bgr' | 'gray';
  /** Absent: the image keeps its own size. */
  readonly size?: { readonly width: number; readonly height: number };
  readonly fit: 'resize' | 'crop';
  /** Short side before the crop, in pixels; absent: 8/7 of the size (256 for 224). */
  readonly cropFrom?: number;
  readonly filter: Filter;
  readonly divisor: number;
  /** In units after the division; one value per channel, or one for all. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly layout: 'nchw' | 'nhwc';
  readonly type: 'f32' | 'u8';
}

/** Bytes as they are: RGB 0..255, channels first. */
export const rawPixels: Preprocessing = { color: 'rgb', fit: 'resize', filter: 'bilinear', divisor: 1, mean: [0], std: [1], layout: 'nchw', type: 'f32' };

/** A network input wider than this is not an image network's. */
const maxSide = 16384;

const errors = defineErrors('input', {
  unknownWord: (f: { word: string }) =>
    [`--input: unknown word '${f.word}'`, `for example: --input 'rgb 224 crop, /255, mean=.485/.456/.406, std=.229/.224/.225, nchw'`] as const,
  badNumber: (f: { word: string }) => `--input: '${f.word}' is not a number or a list of numbers with / between them`,
  badSize: (f: { word: string }) => `--input: size '${f.word}' is not between 1 and ${maxSide}`,
  zero: (f: { word: string }) => `--input: '${f.word}' divides by zero`,
  repeated: (f: { word: string; what: string }) => `--input: '${f.word}' sets the ${f.what} a second time`,
  channels: (f: { what: string; count: number; channels: number }) =>
    `--input: ${f.what} has ${f.count} values for ${f.channels} ${f.channels === 1 ? 'channel' : 'channels'}`,
  cropWithoutSize: (f: { word: string }) => `--input: '${f.word}' needs a size`,
  cropTooLarge: (f: { size: string; from: number }) => `--input: a crop of ${f.size} does not fit into a short side of ${f.from}`,
  floatsInBytes: (f: { type: string }) => `--input: ${f.type} inputs take no mean, std or divisor`,
});

/** Parses the grammar above; the error names the offending word. */
export function parseInput(text: string): Preprocessing {
  const seen = new Map<string, string>();
  let found: { -readonly [K in keyof Preprocessing]: Preprocessing[K] } = { ...rawPixels };
  const set = (what: string, word: string, change: Partial<Preprocessing>) => {
    if (seen.has(what)) throw errors.repeated({ word, what });
    seen.set(what, word);
    found = { ...found, ...change };
  };
  for (const word of text.split(/[,\s]+/).filter((part) => part !== '')) {
    const low = word.toLowerCase();
    if (low === 'rgb' || low === 'bgr' || low === 'gray') set('color', word, { color: low });
    else if (low === 'nchw' || low === 'nhwc') set('layout', word, { layout: low });
    else if (low === 'u8' || low === 'f32') set('type', word, { type: low });
    else if (low === 'bilinear' || low === 'bicubic' || low === 'area' || low === 'nearest') set('filter', word, { filter: low });
    else if (low === 'resize') set('fit', word, { fit: 'resize' });
    else if (low === 'crop') set('fit', word, { fit: 'crop' });
    else if (low.startsWith('crop=')) set('fit', word, { fit: 'crop', cropFrom: side(low.slice(5), word) });
    else if (low.startsWith('mean=')) set('mean', word, { mean: numbers(low.slice(5), word) });
    else if (low.startsWith('std=')) set('std', word, { std: nonZero(numbers(low.slice(4), word), word) });
    else if (low.startsWith('/')) set('divisor', word, { divisor: nonZero(numbers(low.slice(1), word, 1), word)[0] });
    else if (/^\d+$/.test(low)) set('size', word, { size: { width: side(low, word), height: side(low, word) } });
    else if (/^\d+x\d+$/.test(low)) {
      const [width, height] = low.split('x');
      set('size', word, { size: { width: side(width, word), height: side(height, word) } });
    } else throw errors.unknownWord({ word });
  }
  return checked(found, seen.get('fit') ?? 'crop');
}

function checked(input: Preprocessing, fitWord: string): Preprocessing {
  const channels = input.color === 'gray' ? 1 : 3;
  for (const what of ['mean', 'std'] as const) {
    if (input[what].length !== 1 && input[what].length !== channels) throw errors.channels({ what, count: input[what].length, channels });
  }
  if (input.fit === 'crop') {
    if (input.size === undefined) throw errors.cropWithoutSize({ word: fitWord });
    const { width, height } = input.size;
    if (input.cropFrom !== undefined && Math.min(width, height) > input.cropFrom) throw errors.cropTooLarge({ size: `${width}x${height}`, from: input.cropFrom });
  }
  const plain = input.divisor === 1 && input.mean.every((v) => v === 0) && input.std.every((v) => v === 1);
  if (input.type === 'u8' && !plain) throw errors.floatsInBytes({ type: input.type });
  return input;
}

function numbers(text: string, word: string, most = 4): number[] {
  const parts = text.split('/');
  if (parts.length > most || parts.some((part) => !/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(part))) throw errors.badNumber({ word });
  const values = parts.map(Number);
  if (!values.every(Number.isFinite)) throw errors.badNumber({ word });
  return values;
}

function nonZero(values: number[], word: string): number[] {
  if (values.includes(0)) throw errors.zero({ word });
  return values;
}

function side(text: string, word: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) < 1 || Number(text) > maxSide) throw errors.badSize({ word });
  return Number(text);
}

/** The one spelling of a record; `parseInput` reads it back to an equal record. */
export function inputText(input: Preprocessing): string {
  const shape: string[] = [input.color];
  if (input.size !== undefined) {
    shape.push(input.size.width === input.size.height ? String(input.size.width) : `${input.size.width}x${input.size.height}`);
    shape.push(input.fit === 'resize' ? 'resize' : input.cropFrom === undefined ? 'crop' : `crop=${input.cropFrom}`);
  }
  if (input.filter !== 'bilinear') shape.push(input.filter);
  const terms = [shape.join(' ')];
  if (input.divisor !== 1) terms.push(`/${input.divisor}`);
  if (input.mean.some((value) => value !== 0)) terms.push(`mean=${input.mean.join('/')}`);
  if (input.std.some((value) => value !== 1)) terms.push(`std=${input.std.join('/')}`);
  terms.push(input.layout);
  if (input.type !== 'f32') terms.push(input.type);
  return terms.join(', ');
}

/** The smallest and largest value that any 8-bit pixel can become, per channel. */
export function inputRange(input: Preprocessing): readonly (readonly [low: number, high: number])[] {
  const channels = input.color === 'gray' ? 1 : 3;
  return Array.from({ length: channels }, (_, c) => {
    const ends = [normalize(0, input, c), normalize(255, input, c)];
    return [Math.min(...ends), Math.max(...ends)] as const;
  });
}

const at = (values: readonly number[], channel: number) => values[values.length === 1 ? 0 : channel];
const normalize = (pixel: number, input: Preprocessing, channel: number) =>
  (pixel / input.divisor - at(input.mean, channel)) / at(input.std, channel);

/** Resized and cropped, still 8-bit RGB. */
export function fitImage(image: Image, input: Preprocessing): Image {
  if (input.size === undefined) return image;
  const { width, height } = input.size;
  if (input.fit === 'resize') return resizeImage(image, width, height, input.filter);
  const short = input.cropFrom ?? Math.floor((Math.min(width, height) * 8) / 7 + 0.5);
  // As in torchvision: the short side exactly, the long one rounded down.
  const least = Math.min(image.width, image.height);
  let wide = Math.floor((short * image.width) / least);
  let high = Math.floor((short * image.height) / least);
  if (wide < width || high < height) {
    const scale = Math.max(width / image.width, height / image.height);
    wide = Math.max(width, Math.floor(image.width * scale));
    high = Math.max(height, Math.floor(image.height * scale));
  }
  return centreCrop(resizeImage(image, wide, high, input.filter), width, height);
}

/** One image as a tensor [1, C, H, W] or [1, H, W, C]. Grey is BT.601 luma, rounded, as Pillow computes it. */
export function preprocess(image: Image, input: Preprocessing): Tensor {
  const fitted = fitImage(image, input);
  const { width, height } = fitted;
  const channels = input.color === 'gray' ? 1 : 3;
  const area = width * height;
  const data = input.type === 'u8' ? new Uint8Array(channels * area) : new Float32Array(channels * area);
  for (let c = 0; c < channels; c++) {
    const from = fitted.channels === 1 ? 0 : input.color === 'bgr' ? 2 - c : c;
    for (let i = 0; i < area; i++) {
      const pixel = input.color === 'gray' && fitted.channels === 3
        ? (fitted.data[i * 3] * 19595 + fitted.data[i * 3 + 1] * 38470 + fitted.data[i * 3 + 2] * 7471 + 0x8000) >> 16
        : fitted.data[i * fitted.channels + from];
      data[input.layout === 'nchw' ? c * area + i : i * channels + c] = input.type === 'u8' ? pixel : normalize(pixel, input, c);
    }
  }
  const shape = input.layout === 'nchw' ? [1, channels, height, width] : [1, height, width, channels];
  return { type: input.type, shape, data };
}
