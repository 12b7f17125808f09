/** CIFAR-10 as the assets hold it: test images that were compressed as JPEG, 2,000 to judge on and 8,000 to learn from. */
import { i64, type Tensor } from '../../engine/tensor.ts';
import { arrayDataset, decodeImage, gunzipBounded, readTar, type Dataset } from '../../observe/data/index.ts';
import { readBytes } from './own-node.ts';

/** Value of a pixel (0 to 255) of a channel as the network wants it. */
export type PixelRule = (value: number, channel: number) => number;

/** As ResNet-20 wants them: scaled to 0…1, then normalised with the ImageNet statistics. */
export const normalised: PixelRule = (value, channel) => (value / 255 - [0.485, 0.456, 0.406][channel]) / [0.229, 0.224, 0.225][channel];

const pixels = 32 * 32;
const record = 1 + 3 * pixels;
const classes = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];

export const cifarFiles = {
  judged: '_research-terms/data-cifar10-jpeg/cifar10_test_2000_decoded.bin',
  all: '_research-terms/data-cifar10-jpeg/cifar10_test_10000_jpg.tar.gz',
} as const;

/** The 2,000 images that are judged: every fifth of all, in order of class. */
export async function judgedImages(path: string, rule: PixelRule): Promise<Dataset> {
  const bytes = await readBytes(path);
  const count = Math.floor(bytes.length / record);
  const input = new Float32Array(count * 3 * pixels);
  const labels: number[] = [];
  for (let i = 0; i < count; i++) {
    labels.push(bytes[i * record]);
    for (let k = 0; k < 3 * pixels; k++) input[i * 3 * pixels + k] = rule(bytes[i * record + 1 + k], Math.floor(k / pixels));
  }
  return images('CIFAR-10 (2,000 judged)', input, labels);
}

/** The 8,000 images that are not judged. */
export async function trainingImages(path: string, rule: PixelRule): Promise<Dataset> {
  const archive = readTar(gunzipBounded(await readBytes(path), path), path).sort((a, b) => (a.name < b.name ? -1 : 1));
  const kept = archive.filter((_, i) => i % 5 !== 0);
  const input = new Float32Array(kept.length * 3 * pixels);
  const labels = kept.map(({ name, bytes }, i) => {
    const { data } = decodeImage(bytes, name);
    for (let c = 0; c < 3; c++) for (let p = 0; p < pixels; p++) input[(i * 3 + c) * pixels + p] = rule(data[p * 3 + c], c);
    return classes.indexOf(name.split('/').at(-2)!);
  });
  return images('CIFAR-10 (8,000 not judged)', input, labels);
}

function images(name: string, data: Float32Array, labels: readonly number[]): Dataset {
  const input: Tensor = { type: 'f32', shape: [labels.length, 3, 32, 32], data };
  return arrayDataset(name, new Map([['input', input]]), i64([labels.length], labels));
}
