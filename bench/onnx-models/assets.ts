/** Unpacks and converts what the models are fed with into a folder that `quantize` can read: arrays, or images with labels. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { i64, type Tensor } from '../../src/engine/tensor.ts';
import { normal, randomInteger } from '../../src/numeric/random.ts';
import { decodeImage, encodePng, readIdx, writeNpz } from '../../src/observe/data/index.ts';
import { resizeImage } from '../../src/observe/data/resize.ts';
import { cifarFiles, judgedImages, normalised, type PixelRule } from '../../src/reproductions/data/cifar.ts';

/** Where the assets lie, and where converted data go. */
export interface Places { readonly assets: string; readonly work: string }

const terms = '_research-terms';

/** Makes a file or folder once per run. */
function made(path: string, make: () => void): string {
  if (!existsSync(path)) make();
  return path;
}

function unpacked(archive: string, folder: string): string {
  return made(folder, () => {
    mkdirSync(folder, { recursive: true });
    const { status, stderr } = spawnSync('tar', ['-xf', archive, '-C', folder]);
    if (status !== 0) throw new Error(`tar of ${archive}: ${String(stderr)}`);
  });
}

/** CIFAR binary records under a pixel rule, as arrays. */
async function cifar(file: string, to: string, pixel: PixelRule): Promise<string> {
  if (existsSync(to)) return to;
  const data = await judgedImages(file, pixel);
  const { feeds, labels } = await data.batch(Array.from({ length: data.count }, (_, i) => i));
  writeFileSync(to, writeNpz(new Map<string, Tensor>([['input', feeds.input], ['labels', i64([data.count], (labels as { values: readonly number[] }).values)]])));
  return to;
}

const signed: PixelRule = (value) => value / 127.5 - 1;

/** 2000 CIFAR-10 images (JPEG copies), sorted by class in the file. */
export const cifarNormalised = ({ assets, work }: Places): Promise<string> =>
  cifar(join(assets, cifarFiles.judged), join(work, 'cifar-normalised.npz'), normalised);
export const cifarRaw = ({ assets, work }: Places): Promise<string> =>
  cifar(join(assets, cifarFiles.judged), join(work, 'cifar-raw.npz'), (value) => value);
export const cifarSigned = ({ assets, work }: Places): Promise<string> =>
  cifar(join(assets, cifarFiles.judged), join(work, 'cifar-signed.npz'), signed);
/** 400 images that the vision transformer was not trained on. */
export const cifarHeldOut = ({ assets, work }: Places): Promise<string> =>
  cifar(join(assets, terms, 'host-vit-cifar_heldout400.bin'), join(work, 'cifar-heldout.npz'), signed);

/** One image per ImageNet class, with a table of class indices. */
export function imagenet({ assets, work }: Places): string {
  const folder = unpacked(join(assets, terms, 'data-imagenet-1000/imagenet1000_crop232_jpegq90.tar'), join(work, 'imagenet'));
  made(join(folder, 'labels.tsv'), () => copyFileSync(join(assets, terms, 'data-imagenet-1000/labels.tsv'), join(folder, 'labels.tsv')));
  return folder;
}

/** A person counts when a box of one covers more than this share of the image. */
const personArea = 0.005;

/** 128 COCO images with boxes as YOLO texts, and a table that says whether a person is on each. */
export function coco({ assets, work }: Places): string {
  const folder = unpacked(join(assets, terms, 'data-coco-val128/coco_val2017_first128.tar'), join(work, 'coco'));
  made(join(folder, 'person.csv'), () => {
    const rows = readdirSync(join(folder, 'images/val2017')).sort().map((image) => {
      const text = join(folder, 'object_detection/labels/val2017', image.replace(/\.jpg$/, '.txt'));
      const boxes = existsSync(text) ? readFileSync(text, 'utf8').split('\n').filter((line) => line.trim() !== '').map((line) => line.trim().split(/\s+/).map(Number)) : [];
      return `${image},${boxes.some(([category, , , width, height]) => category === 0 && width * height > personArea) ? 1 : 0}`;
    });
    writeFileSync(join(folder, 'person.csv'), `file,label\n${rows.join('\n')}\n`);
  });
  return folder;
}

/** Kodak images with copies four times smaller. */
export function kodak({ assets, work }: Places): string {
  const folder = join(work, 'kodak');
  return made(folder, () => {
    mkdirSync(folder, { recursive: true });
    for (const file of readdirSync(join(assets, 'images-kodak')).filter((name) => name.endsWith('.png'))) {
      const bytes = readFileSync(join(assets, 'images-kodak', file));
      const image = decodeImage(bytes, file);
      writeFileSync(join(folder, `${basename(file, '.png')}_HR.png`), bytes);
      writeFileSync(join(folder, `${basename(file, '.png')}_LR.png`), encodePng(resizeImage(image, image.width / 4, image.height / 4, 'bicubic')));
    }
  });
}

/** The five images of Set5 at a quarter of their size, with their originals. */
export function set5({ assets, work }: Places): string {
  const folder = join(work, 'set5');
  return made(folder, () => {
    mkdirSync(folder, { recursive: true });
    const from = join(assets, terms, 'images-set5');
    for (const file of readdirSync(from).filter((name) => name.includes('SRF_4'))) copyFileSync(join(from, file), join(folder, file));
  });
}

interface Digits { readonly pixels: Uint8Array; readonly labels: number[] }

function digits(assets: string): Digits {
  const read = (name: string) => readIdx(readFileSync(join(assets, 'data-mnist-t10k', name)), name);
  return { pixels: read('t10k-images-idx3-ubyte.gz').data as Uint8Array, labels: Array.from(read('t10k-labels-idx1-ubyte.gz').data as Uint8Array) };
}

/** MNIST test digits from `first` on, under a pixel rule. */
function mnist({ assets, work }: Places, name: string, first: number, count: number, pixel: (value: number) => number): string {
  return made(join(work, name), () => {
    const { pixels, labels } = digits(assets);
    writeFileSync(join(work, name), writeNpz(new Map<string, Tensor>([
      ['input', { type: 'f32', shape: [count, 1, 28, 28], data: Float32Array.from(pixels.subarray(first * 784, (first + count) * 784), pixel) }],
      ['labels', i64([count], labels.slice(first, first + count))],
    ])));
  });
}

export const mnistRaw = (places: Places): string => mnist(places, 'mnist-raw.npz', 0, 10_000, (value) => value);
/** The first 9000 digits trained the diffusion transformer and its classifier; the last 1000 did not. */
export const mnistTrained = (places: Places): string => mnist(places, 'mnist-trained.npz', 0, 9000, (value) => value / 127.5 - 1);
export const mnistHeldOut = (places: Places): string => mnist(places, 'mnist-heldout.npz', 9000, 1000, (value) => value / 127.5 - 1);

/** Noised digits with their times and classes: 1000 steps of a linear schedule from 1e-4 to 2e-2. */
function noised({ assets, work }: Places, name: string, count: number, digit: (i: number) => number, time: (i: number) => number): string {
  return made(join(work, name), () => {
    const { pixels, labels } = digits(assets);
    const kept = [1];
    for (let t = 0; t < 1000; t++) kept.push(kept[t] * (1 - (1e-4 + (t / 999) * (2e-2 - 1e-4))));
    const x = new Float32Array(count * 784);
    for (let i = 0; i < count; i++) {
      const share = kept[time(i) + 1];
      for (let j = 0; j < 784; j++) x[i * 784 + j] = Math.sqrt(share) * (pixels[digit(i) * 784 + j] / 127.5 - 1) + Math.sqrt(1 - share) * normal(11, digit(i), j);
    }
    const indices = Array.from({ length: count }, (_, i) => i);
    writeFileSync(join(work, name), writeNpz(new Map<string, Tensor>([
      ['x', { type: 'f32', shape: [count, 1, 28, 28], data: x }], ['t', i64([count], indices.map(time))], ['y', i64([count], indices.map((i) => labels[digit(i)]))],
    ])));
  });
}

/** Training digits at random times. */
export const noisedTrained = (places: Places): string =>
  noised(places, 'noised-trained.npz', 256, (i) => randomInteger(7, 0, i, 9000), (i) => randomInteger(7, 1, i, 1000));
/** 100 held-out digits at evenly spread times. */
export const noisedHeldOut = (places: Places): string => noised(places, 'noised-heldout.npz', 100, (i) => 9000 + i, (i) => 10 * i + 5);
