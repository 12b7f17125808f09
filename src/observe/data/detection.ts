/**
 * Images with boxes in YOLO text files: one line per box, `category cx cy width height`, all but the category as
 * fractions of the image. The text lies beside its image, or under a folder `labels/`.
 */
import { defineErrors } from '../../errors.ts';
import type { Folder } from '../../files/source.ts';
import { checkIndices, joinRows, type Box, type Dataset } from './dataset.ts';
import { readImage, readWhole } from './folder.ts';
import { isImageName } from './image.ts';
import { preprocess, type Preprocessing } from './preprocess.ts';

/** An image with more labelled objects than this is a broken file. */
const maxBoxes = 10_000;

const errors = defineErrors('yolo', {
  noImages: (f: { name: string }) => `${f.name}: no PNG or JPEG images`,
  noLabels: (f: { name: string }) => `${f.name}: no YOLO text file beside any image or under labels/`,
  badLine: (f: { file: string; line: number; text: string }) => `${f.file}: line ${f.line} '${f.text}' is not 'category cx cy width height' with fractions of the image`,
  tooMany: (f: { file: string; count: number }) => `${f.file}: ${f.count} boxes (limit ${maxBoxes})`,
});

/** One sample per image; an image without a text file has no boxes. */
export async function yoloFolder(folder: Folder, { input }: { readonly input: Preprocessing }): Promise<Dataset> {
  const files = await folder.list();
  const images = files.filter(isImageName).sort();
  if (images.length === 0) throw errors.noImages({ name: folder.name });
  const present = new Set(files);
  const underLabels = new Map(files.filter((file) => /(^|\/)labels\/.*\.txt$/.test(file)).map((file) => [file.split('/').at(-1) as string, file]));
  const texts = images.map((image) => labelFile(image, present) ?? underLabels.get(`${image.split('/').at(-1)?.replace(/\.[^.]+$/, '')}.txt`));
  if (texts.every((text) => text === undefined)) throw errors.noLabels({ name: folder.name });
  return {
    name: folder.name, count: images.length, names: ['input'], labels: 'boxes', uniform: input.size !== undefined,
    batch: async (indices) => {
      checkIndices(folder.name, images.length, indices);
      const samples = await Promise.all(indices.map(async (i) => {
        const image = await readImage(folder, images[i]);
        const file = texts[i];
        const { width, height } = image;
        const boxes = file === undefined ? [] : parseYolo(new TextDecoder().decode(await readWhole(folder, file)), width, height, file);
        return { tensor: preprocess(image, input), truth: { width, height, boxes } };
      }));
      return {
        feeds: { input: joinRows(folder.name, 'input', samples.map((sample) => sample.tensor)) },
        labels: { kind: 'boxes', values: samples.map((sample) => sample.truth) },
      };
    },
  };
}

function labelFile(image: string, present: ReadonlySet<string>): string | undefined {
  const text = image.replace(/\.[^.]+$/, '.txt');
  const moved = text.replace(/(^|\/)images\//, '$1labels/');
  return [text, moved].find((file) => present.has(file));
}

/** Boxes of one text in pixels of a `width` × `height` image. */
export function parseYolo(text: string, width: number, height: number, file = 'labels'): Box[] {
  const lines = text.split(/\r?\n/);
  if (lines.length > maxBoxes) throw errors.tooMany({ file, count: lines.length });
  const boxes: Box[] = [];
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    const [category, cx, cy, w, h, ...rest] = line.trim().split(/\s+/).map(Number);
    const fractions = [cx, cy, w, h];
    if (rest.length > 0 || !Number.isInteger(category) || category < 0 || !fractions.every((v) => v >= 0 && v <= 1)) {
      throw errors.badLine({ file, line: i + 1, text: line.slice(0, 80) });
    }
    boxes.push({ category, x0: (cx - w / 2) * width, y0: (cy - h / 2) * height, x1: (cx + w / 2) * width, y1: (cy + h / 2) * height });
  });
  return boxes;
}
