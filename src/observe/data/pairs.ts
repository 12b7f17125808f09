/**
 * Low- and high-resolution pairs for super-resolution. Pairs are found by name: `…LR.png` with `…HR.png`, or the same
 * file name under `LR/` and `HR/` (any case). A folder without pairs gives unlabelled images.
 */
import { defineErrors } from '../../errors.ts';
import type { Folder } from '../../files/source.ts';
import { checkIndices, joinRows, type Dataset } from './dataset.ts';
import { readImage } from './folder.ts';
import { isImageName } from './image.ts';
import { preprocess, type Preprocessing } from './preprocess.ts';
import { resizeImage, type Image } from './resize.ts';

const errors = defineErrors('pairs', {
  noImages: (f: { name: string }) => `${f.name}: no PNG or JPEG images`,
  noPairs: (f: { name: string }) => [`${f.name}: no image is named as one of a pair`, 'name them xLR.png and xHR.png, or put them into LR/ and HR/; or give a factor to make the small ones'] as const,
  notAMultiple: (f: { file: string; low: string; high: string }) => `${f.file}: ${f.high} is not a whole multiple of ${f.low}`,
});

export interface PairOptions {
  readonly input: Preprocessing;
  /** Makes the low-resolution image from every image of the folder: bicubic, this many times smaller. */
  readonly factor?: number;
}

interface Pair { readonly low?: string; readonly high: string }

/** One sample per pair: the small image is fed as `input`, the large one is the label. Sizes may differ between samples. */
export async function imagePairs(folder: Folder, { input, factor }: PairOptions): Promise<Dataset> {
  const images = (await folder.list()).filter(isImageName).sort();
  if (images.length === 0) throw errors.noImages({ name: folder.name });
  const present = new Set(images);
  const pairs: Pair[] = factor !== undefined
    ? images.map((high) => ({ high }))
    : images.flatMap((low) => {
      const high = low.replace(/LR(?=\.[^./]+$)|(?<=^|\/)LR(?=\/)/i, (word) => (word === 'lr' ? 'hr' : 'HR'));
      return high !== low && present.has(high) ? [{ low, high }] : [];
    });
  if (pairs.length === 0) throw errors.noPairs({ name: folder.name });
  return {
    name: folder.name, count: pairs.length, names: ['input'], labels: 'images', uniform: false,
    batch: async (indices) => {
      checkIndices(folder.name, pairs.length, indices);
      const samples = await Promise.all(indices.map((i) => readPair(folder, pairs[i], factor)));
      return {
        feeds: { input: joinRows(folder.name, 'input', samples.map(({ low }) => preprocess(low, input))) },
        labels: { kind: 'images', values: samples.map(({ high }) => high) },
      };
    },
  };
}

async function readPair(folder: Folder, pair: Pair, factor: number | undefined): Promise<{ low: Image; high: Image }> {
  const whole = await readImage(folder, pair.high);
  if (factor !== undefined) {
    const [width, height] = [Math.floor(whole.width / factor), Math.floor(whole.height / factor)];
    const high = cropTopLeft(whole, width * factor, height * factor);
    return { low: resizeImage(high, width, height, 'bicubic'), high };
  }
  const low = await readImage(folder, pair.low as string);
  const times = Math.floor(whole.width / low.width);
  const [width, height] = [low.width * times, low.height * times];
  if (times < 1 || whole.width - width >= times || whole.height < height || whole.height - height >= times) {
    throw errors.notAMultiple({ file: pair.high, low: `${low.width}x${low.height}`, high: `${whole.width}x${whole.height}` });
  }
  return { low, high: cropTopLeft(whole, width, height) };
}

/** The part that a whole number of low-resolution pixels covers, as the benchmark sets are cut. */
function cropTopLeft(image: Image, width: number, height: number): Image {
  if (width === image.width && height === image.height) return image;
  const data = new Uint8Array(width * height * image.channels);
  for (let y = 0; y < height; y++) {
    const from = y * image.width * image.channels;
    data.set(image.data.subarray(from, from + width * image.channels), y * width * image.channels);
  }
  return { ...image, width, height, data };
}
