/**
 * Folders of images. Labels come from, in this order: a CSV or TSV file in the folder (columns for the file and the
 * label), the sub-folders' names, or nowhere. Sub-folder and label names that are all whole numbers are the
 * class indices themselves; other names are numbered in the order of `categories`, or of their code points.
 */
import { defineErrors } from '../../errors.ts';
import type { Folder } from '../../files/source.ts';
import { checkIndices, joinRows, type Dataset } from './dataset.ts';
import { decodeImage, isImageName } from './image.ts';
import { preprocess, type Preprocessing } from './preprocess.ts';
import type { Image } from './resize.ts';

/** A label table of a million images is about 40 MB. */
const maxTableBytes = 64 * 1024 * 1024;

const errors = defineErrors('imageFolder', {
  noImages: (f: { name: string }) => `${f.name}: no PNG or JPEG images`,
  badTable: (f: { table: string; line: number; text: string }) => `${f.table}: line ${f.line} '${f.text}' is not a file and a label`,
  tableTooLarge: (f: { table: string; size: number }) => `${f.table}: ${f.size} bytes (limit ${maxTableBytes})`,
  missingImage: (f: { table: string; file: string }) => `${f.table}: image ${f.file} is not in the folder`,
  unknownCategory: (f: { name: string; category: string }) => `${f.name}: label '${f.category}' is not among the given categories`,
});

export interface ImageFolderOptions {
  readonly input: Preprocessing;
  /** Category names in the order of the model's outputs. */
  readonly categories?: readonly string[];
}

/** One sample per image, fed as `input`. */
export async function imageFolder(folder: Folder, { input, categories }: ImageFolderOptions): Promise<Dataset> {
  const files = await folder.list();
  const images = files.filter(isImageName).sort();
  if (images.length === 0) throw errors.noImages({ name: folder.name });
  const table = files.filter((file) => /^[^/]+\.(csv|tsv)$/i.test(file)).sort()[0];
  const named = table !== undefined ? await readTable(folder, table, images)
    : images.map((file) => ({ file, label: subFolder(file, images) }));
  const chosen = labelled(folder.name, named, categories);
  return {
    name: folder.name, count: named.length, names: ['input'], uniform: input.size !== undefined,
    ...(chosen === undefined ? {} : { labels: 'classes' as const, ...(chosen.names === undefined ? {} : { categories: chosen.names }) }),
    batch: async (indices) => {
      checkIndices(folder.name, named.length, indices);
      const tensors = await Promise.all(indices.map(async (i) => preprocess(await readImage(folder, named[i].file), input)));
      const feeds = { input: joinRows(folder.name, 'input', tensors) };
      return chosen === undefined ? { feeds } : { feeds, labels: { kind: 'classes', values: indices.map((i) => chosen.classes[i]) } };
    },
  };
}

/** Reads and decodes one image of a folder. */
export async function readImage(folder: Folder, file: string): Promise<Image> {
  return decodeImage(await readWhole(folder, file), `${folder.name}/${file}`);
}

export async function readWhole(folder: Folder, file: string): Promise<Uint8Array> {
  const source = await folder.open(file);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}

/** The first folder below those that all images share, such as `test/` around the categories of a test set. */
function subFolder(file: string, images: readonly string[]): string | undefined {
  const parts = file.split('/').slice(0, -1);
  const others = [images[0], images[images.length - 1]].map((image) => image.split('/').slice(0, -1));
  let shared = 0;
  // Sorted names: what the first and the last share, all share.
  while (shared < parts.length && others.every((other) => other[shared] === parts[shared])) shared++;
  return parts[shared];
}

interface Named { readonly file: string; readonly label: string | undefined }

function labelled(name: string, samples: readonly Named[], categories?: readonly string[]) {
  const labels = samples.map((sample) => sample.label);
  if (!labels.every((label) => label !== undefined)) return undefined;
  if (categories === undefined && labels.every((label) => /^\d{1,7}$/.test(label))) return { classes: labels.map(Number), names: undefined };
  const names = categories ?? [...new Set(labels)].sort();
  const index = new Map(names.map((category, i) => [category, i]));
  const classes = labels.map((label) => {
    const found = index.get(label);
    if (found === undefined) throw errors.unknownCategory({ name, category: label });
    return found;
  });
  return { classes, names };
}

const fileColumns = ['file', 'filename', 'file_name', 'image', 'path', 'name'];
const labelColumns = ['class_index', 'index', 'label', 'class', 'category'];

/** Columns by header name where there is a header, else the first two; commas, semicolons or tabs. */
async function readTable(folder: Folder, table: string, images: readonly string[]): Promise<Named[]> {
  const source = await folder.open(table);
  const size = source.size;
  await source.close();
  if (size > maxTableBytes) throw errors.tableTooLarge({ table, size });
  const lines = new TextDecoder().decode(await readWhole(folder, table)).split(/\r?\n/);
  const separator = ['\t', ';', ','].find((mark) => lines[0].includes(mark)) ?? ',';
  const cells = (line: string) => line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'));
  const header = cells(lines[0]).map((cell) => cell.toLowerCase());
  const headed = header.some((cell) => fileColumns.includes(cell));
  const fileColumn = headed ? header.findIndex((cell) => fileColumns.includes(cell)) : 0;
  const labelColumn = headed ? header.indexOf(labelColumns.find((column) => header.includes(column)) ?? 'label') : 1;
  const known = new Map<string, string>();
  for (const image of images) { known.set(image, image); known.set(image.split('/').at(-1) as string, image); }
  const samples: Named[] = [];
  for (let i = headed ? 1 : 0; i < lines.length; i++) {
    if (lines[i].trim() === '') continue;
    const row = cells(lines[i]);
    const [file, label] = [row[fileColumn], row[labelColumn]];
    if (file === undefined || label === undefined || label === '') throw errors.badTable({ table, line: i + 1, text: lines[i].slice(0, 80) });
    const image = known.get(file) ?? known.get(file.split('/').at(-1) as string);
    if (image === undefined) throw errors.missingImage({ table, file });
    samples.push({ file: image, label });
  }
  if (samples.length === 0) throw errors.noImages({ name: folder.name });
  return samples;
}
