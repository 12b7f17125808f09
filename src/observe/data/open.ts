/** One entrance for every kind of data that commands accept: the kind is told by the name and by what lies in the folder. */
import { defineErrors } from '../../errors.ts';
import type { ByteSource, Folder } from '../../files/source.ts';
import type { Tensor } from '../../engine/tensor.ts';
import { arrayDataset, type Dataset } from './dataset.ts';
import { yoloFolder } from './detection.ts';
import { imageFolder } from './folder.ts';
import { readIdx } from './idx.ts';
import { decodeImage, isImageName } from './image.ts';
import { jsonLines } from './jsonl.ts';
import { readNpy } from './npy.ts';
import { readNpz } from './npz.ts';
import { imagePairs } from './pairs.ts';
import { preprocess, rawPixels, type Preprocessing } from './preprocess.ts';
import { tokenWindows } from './text.ts';

/** Arrays and texts are held in memory; larger sets belong into folders. */
export const maxFileBytes = 2 ** 31;

const errors = defineErrors('data', {
  unknownKind: (f: { name: string }) =>
    [`${f.name}: unknown kind of data`, 'known: .npy, .npz, .safetensors, .jsonl, .txt, idx files, .png, .jpg, folders of images'] as const,
  tooLarge: (f: { name: string; size: number }) => `${f.name}: ${f.size} bytes of data in one file (limit ${maxFileBytes})`,
  noTokenizer: (f: { name: string }) => [`${f.name}: text needs the model's tokenizer`, 'texts are for language models; give arrays or images'] as const,
});

export interface OpenDataOptions {
  /** How images become inputs; pixels 0..255, channels first, without. */
  readonly input?: Preprocessing;
  readonly task?: string;
  /** Turns text into token ids, without special tokens at its ends. */
  readonly tokenize?: (text: string) => ArrayLike<number>;
  /** Tokens per window of text. */
  readonly window?: number;
  /** Category names in the order of the model's outputs. */
  readonly categories?: readonly string[];
  /** Array with the class of each sample, from a file of its own. */
  readonly labels?: Tensor;
  /** Reads a .safetensors file of named inputs. */
  readonly readSafetensors?: (source: ByteSource) => Promise<ReadonlyMap<string, Tensor>>;
  /** Names of the model's inputs: arrays called so are fed, and never taken for labels. */
  readonly inputs?: ReadonlySet<string>;
  /** Inputs of JSON lines that are int64. */
  readonly integers?: ReadonlySet<string>;
  /** Makes super-resolution pairs from plain images, this many times smaller. */
  readonly factor?: number;
}

const labelNames = ['labels', 'label', 'y', 'targets', 'target'];

/** Opens one file as a data set. */
export async function openDataFile(source: ByteSource, options: OpenDataOptions = {}): Promise<Dataset> {
  const { name, size } = source;
  if (size > maxFileBytes) throw errors.tooLarge({ name, size });
  if (/\.safetensors$/i.test(name)) {
    if (options.readSafetensors === undefined) throw errors.unknownKind({ name });
    return named(name, new Map(await options.readSafetensors(source)), options);
  }
  const bytes = await source.read(0, size);
  if (/\.npz$/i.test(name)) return named(name, readNpz(bytes, name), options);
  if (/\.npy$/i.test(name)) return arrayDataset(name, new Map([['input', readNpy(bytes, name)]]), options.labels);
  if (/\.(jsonl|ndjson)$/i.test(name)) return jsonLines(name, bytes, options.integers);
  if (/(idx\d-ubyte|\.idx)(\.gz)?$/i.test(name)) return arrayDataset(name, new Map([['input', readIdx(bytes, name)]]), options.labels);
  if (isImageName(name)) return arrayDataset(name, new Map([['input', preprocess(decodeImage(bytes, name), options.input ?? rawPixels)]]), options.labels);
  if (/\.(txt|md)$/i.test(name)) {
    if (options.tokenize === undefined) throw errors.noTokenizer({ name });
    return tokenWindows(name, options.tokenize(new TextDecoder().decode(bytes)), { window: options.window });
  }
  throw errors.unknownKind({ name });
}

/** Named arrays; one called `labels`, `label`, `y` or `targets` holds the classes. */
function named(name: string, arrays: Map<string, Tensor>, { labels: given, inputs }: OpenDataOptions): Dataset {
  let labels = given;
  for (const key of labelNames.filter((label) => inputs?.has(label) !== true)) {
    const found = arrays.get(key);
    if (labels === undefined && found !== undefined && arrays.size > 1) {
      labels = found;
      arrays.delete(key);
    }
  }
  return arrayDataset(name, arrays, labels);
}

/** Opens a folder of images as the task needs it: classes, boxes, or pairs. */
export async function openDataFolder(folder: Folder, options: OpenDataOptions = {}): Promise<Dataset> {
  const input = options.input ?? rawPixels;
  if (options.task?.startsWith('detect') === true) return yoloFolder(folder, { input });
  if (options.task === 'upscale') return imagePairs(folder, { input, ...(options.factor === undefined ? {} : { factor: options.factor }) });
  return imageFolder(folder, { input, ...(options.categories === undefined ? {} : { categories: options.categories }) });
}
