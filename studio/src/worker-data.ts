/** Inputs that a user gives: images, or one file of arrays or text, with labels in a second one where there are any. */
import { defineErrors } from '../../src/errors.ts';
import { inferTask, taskNamed } from '../../src/evaluate/tasks.ts';
import type { Task } from '../../src/evaluate/tasks/task.ts';
import { blobSource } from '../../src/files/source.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { blobFolder } from '../../src/jobs/source-web.ts';
import { openDataFile, openDataFolder, parseInput, readNpy, splitDataset, shuffled, subset, type Dataset, type Preprocessing } from '../../src/observe/data/index.ts';
import type { FileRef } from './protocol.ts';
import { isImage, labelsIn } from './sample-files.ts';

/** Tokens of a window of text. */
const window = 128;

const errors = defineErrors('inputs', {
  labelsAlone: (_: object) => ['labels alone judge nothing', 'give inputs with them'] as const,
  severalFiles: (f: { names: string }) => [`several files of inputs: ${f.names}`, 'give one file of arrays or text with its labels, or images alone'] as const,
});

export interface JudgingData { readonly set: Dataset; readonly task: Task }

export interface DataOptions {
  /** How images become inputs, in the words of `--input`; empty for what the model's input suggests. */
  readonly input: string;
  /** Samples that are taken. */
  readonly most: number;
  /** Of samples that both calibrate and judge, the part that does the one or the other: none does both. */
  readonly part?: 'calibration' | 'evaluation';
}

/** For image networks that nobody has described: RGB (or grey) between 0 and 1 in the size that the input names. */
export function guessedInput({ graph }: Pick<SourceModel, 'graph'>): Preprocessing {
  const [input] = graph.inputs;
  const [, a, b, c] = input?.shape ?? [];
  const nhwc = c === 3 || c === 1;
  const [height, width] = nhwc ? [a, b] : [b, c];
  const gray = (nhwc ? c : a) === 1;
  const sized = typeof height === 'number' && typeof width === 'number' && height > 0 && width > 0 ? ` ${width}x${height}` : '';
  return parseInput(`${gray ? 'gray' : 'rgb'}${sized}, ${input?.type === 'u8' ? 'u8' : '/255'}, ${nhwc ? 'nhwc' : 'nchw'}`);
}

export async function dataFrom(files: readonly FileRef[], model: SourceModel, { input, most, part }: DataOptions): Promise<JudgingData> {
  const whole = await datasetOf(files, model, input);
  // Half of a small set calibrates at most.
  const split = part === undefined || whole.count < 2 ? undefined : splitDataset(whole, { calibration: Math.max(1, Math.min(64, Math.floor(whole.count / 2))), seed: 0 });
  const own = split === undefined ? whole : split[part!];
  const count = Math.min(own.count, most);
  const set = count === own.count ? own : subset(own, shuffled(own.count, 1).slice(0, count).sort((a, b) => a - b), `${whole.name} (${count} of ${whole.count} samples)`);
  return { set, task: model.kind === 'lm' ? taskNamed('lm') : inferTask(set) };
}

async function datasetOf(files: readonly FileRef[], model: SourceModel, input: string): Promise<Dataset> {
  if (files.every(({ name }) => isImage(name) || /\.(csv|tsv|txt)$/i.test(name)) && files.some(({ name }) => isImage(name))) {
    const folder = blobFolder(files);
    const images = await openDataFolder(folder, { input: input === '' ? guessedInput(model) : parseInput(input) });
    return { ...images, name: folder.name === 'model' ? files.length === 1 ? files[0].name : `${files.length} files` : folder.name };
  }
  const labelFile = labelsIn(files);
  const others = files.filter((file) => file !== labelFile);
  const [inputs] = others;
  if (inputs === undefined) throw errors.labelsAlone({});
  if (others.length > 1) throw errors.severalFiles({ names: others.slice(0, 5).map(({ name }) => name).join(', ') });
  const { tokenizer } = model;
  return openDataFile(blobSource(inputs.name, inputs.blob), {
    inputs: new Set(model.graph.inputs.map(({ name }) => name)), integers: new Set(model.graph.inputs.filter(({ type }) => type === 'i64').map(({ name }) => name)), window,
    ...(labelFile === undefined ? {} : { labels: readNpy(new Uint8Array(await labelFile.blob.arrayBuffer()), labelFile.name) }),
    ...(tokenizer === undefined ? {} : { tokenize: (text: string) => tokenizer.encode(text, { addSpecialTokens: false }) }),
  });
}
