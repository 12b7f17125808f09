/** Photographs for the person detector of MLPerf Tiny: 128 of COCO that say whether a person is in them, 1,000 of ImageNet that do not. */
import { i64, type Tensor } from '../../engine/tensor.ts';
import { arrayDataset, decodeImage, parseInput, preprocess, readTar, type Dataset, type TarFile } from '../../observe/data/index.ts';
import { readBytes } from './own-node.ts';

export const personFiles = {
  model: 'mlperf-tiny/vww-mobilenetv1-0.25/derived_vww_mobilenetv1_0.25.onnx',
  labelled: '_research-terms/data-coco-val128/coco_val2017_first128.tar',
  unlabelled: '_research-terms/data-imagenet-1000/imagenet1000_crop232_jpegq90.tar',
} as const;

const input = parseInput('rgb 96 resize bilinear, /255, nchw');
const values = 3 * 96 * 96;
/** A person counts from this share of the image on, as in the Visual Wake Words data. */
const smallestPerson = 0.005;

/** 128 images of COCO: class 1 where a box of a person covers more than 0.5 % of the image. */
export async function labelledImages(path: string): Promise<Dataset> {
  const files = readTar(await readBytes(path), path);
  const texts = new Map(files.filter(({ name }) => name.endsWith('.txt')).map(({ name, bytes }) => [stem(name), new TextDecoder().decode(bytes)]));
  const images = files.filter(({ name }) => name.endsWith('.jpg')).sort(byName);
  const labels = images.map(({ name }) => Number((texts.get(stem(name)) ?? '').split('\n').some((line) => {
    const [category, , , width, height] = line.split(' ').map(Number);
    return category === 0 && width * height > smallestPerson;
  })));
  return arrayDataset(`COCO (${images.length})`, new Map([['input', tensorOf(images)]]), i64([labels.length], labels));
}

/** Photographs `from` … `to` of the 1,000, in an order that mixes their classes. */
export async function unlabelledImages(path: string, from: number, to: number): Promise<Dataset> {
  const images = readTar(await readBytes(path), path).filter(({ name }) => /\.jpe?g$/i.test(name)).sort(byName);
  // 617 and 1,000 have no common divisor: every image is visited once.
  const mixed = images.map((_, i) => images[(i * 617) % images.length]).slice(from, to);
  return arrayDataset(`ImageNet (${mixed.length})`, new Map([['input', tensorOf(mixed)]]));
}

const stem = (name: string): string => name.split('/').at(-1)!.replace(/\.\w+$/, '');
const byName = (a: TarFile, b: TarFile): number => (a.name < b.name ? -1 : 1);

function tensorOf(files: readonly TarFile[]): Tensor {
  const data = new Float32Array(files.length * values);
  files.forEach(({ name, bytes }, i) => data.set(preprocess(decodeImage(bytes, name), input).data as Float32Array, i * values));
  return { type: 'f32', shape: [files.length, 3, 96, 96], data };
}
