/** Opens what a user calls data, and divides it: no sample both calibrates and judges. */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors, FewbitError } from '../errors.ts';
import { taskNamed, inferTask } from '../evaluate/tasks.ts';
import type { Task } from '../evaluate/tasks/task.ts';
import { openFile, openFolder } from '../files/fs-node.ts';
import {
  openDataFile, openDataFolder, parseInput, parsePreprocessorConfig, readIdx, readNpy, shuffled, splitDataset, subset,
  type Dataset, type OpenDataOptions,
} from '../observe/data/index.ts';
import { openTokenizer, type Tokenizer } from '../models/tokenizer.ts';
import { readTokenizerFiles } from '../models/tokenizer-files.ts';
import type { DataUse } from './result.ts';
import { seededDataset } from './seeded-data.ts';
import type { QuantizeSettings } from './settings.ts';
import { foldersAround } from './source-node.ts';
import type { SourceModel } from './source.ts';

export interface Data {
  /** Absent when nothing needs or gives it. */
  readonly calibration?: Dataset;
  readonly evaluation: Dataset;
  readonly task: Task;
  /** The evaluation inputs are made up, from the seed. */
  readonly seeded: boolean;
}

const errors = defineErrors('data', {
  notFound: (f: { path: string }) => `${f.path}: no such file or folder`,
  labels: (f: { path: string; why: string }) => [`${f.path}: ${f.why}`, 'give a .npy or idx array of class indices, or a text file with one number a line'] as const,
});

type DataSettings = Pick<QuantizeSettings, 'data' | 'labels' | 'evalData' | 'evalLabels' | 'input' | 'task' | 'calibrationSamples' | 'evaluationSamples' | 'seed'>;

/** Windows of text are as long as the model allows, and no longer than this. */
const maxWindow = 256;

export async function openData(settings: DataSettings, source: SourceModel): Promise<Data> {
  const model = await withTokenizer(source);
  const { seed, calibrationSamples, evaluationSamples } = settings;
  const options = await dataOptions(settings, model);
  const open = async (path: string, labels: string | undefined, task = settings.task): Promise<Dataset> =>
    openDataset(path, { ...options, ...(task === undefined ? {} : { task }), ...(labels === undefined ? {} : { labels: await readLabels(labels) }) });
  // Images that only calibrate need no boxes.
  const dataTask = settings.evalData !== undefined && settings.task?.startsWith('detect') === true ? 'generic' : settings.task;
  const whole = settings.data === undefined ? undefined : await open(settings.data, settings.labels, dataTask);
  const given = settings.evalData === undefined ? undefined : await open(settings.evalData, settings.evalLabels ?? (settings.evalData === settings.data ? settings.labels : undefined));
  let calibration: Dataset | undefined;
  let evaluation: Dataset;
  if (whole === undefined) {
    evaluation = given ?? seededDataset(model, { seed, count: Math.min(evaluationSamples, 16) });
  } else if (given === undefined) {
    // A small set gives half of itself to calibration at most.
    const split = splitDataset(whole, { calibration: Math.max(1, Math.min(calibrationSamples, Math.floor(whole.count / 2))), seed });
    ({ calibration, evaluation } = split);
  } else {
    calibration = draw(whole, calibrationSamples, seed);
    evaluation = given;
  }
  evaluation = draw(evaluation, evaluationSamples, seed + 1);
  const task = settings.task === undefined ? (writesText(model) ? taskNamed('lm') : inferTask(evaluation)) : taskNamed(settings.task);
  return { ...(calibration === undefined ? {} : { calibration }), evaluation, task, seeded: whole === undefined && given === undefined };
}

/** The tokenizer of a network of tokens, from its folder or the one above; one that is refused is none. */
async function tokenizerBeside(location: string): Promise<Tokenizer | undefined> {
  try {
    const [own, above] = await foldersAround(location);
    const files = await readTokenizerFiles(own) ?? await readTokenizerFiles(above);
    return files === undefined ? undefined : openTokenizer(files);
  } catch (error) {
    if (error instanceof FewbitError) return undefined;
    throw error;
  }
}

/** A graph that reads tokens, with the tokenizer beside its file. */
async function withTokenizer(model: SourceModel): Promise<SourceModel> {
  if (model.tokenizer !== undefined || model.origin !== 'onnx' || model.files.length === 0 || !model.graph.inputs.some(({ name }) => name === 'input_ids')) return model;
  const tokenizer = await tokenizerBeside(model.location);
  return tokenizer === undefined ? model : { ...model, tokenizer };
}

/** Language models, and graphs of others that have a tokenizer beside them and hold keys and values. */
const writesText = ({ kind, tokenizer, graph }: SourceModel): boolean =>
  kind === 'lm' || (tokenizer !== undefined && graph.inputs.some(({ name }) => name.startsWith('past_key_values')) && graph.outputs.some(({ name }) => name === 'logits'));

/** At most `count` samples, drawn by the seed, in their old order. */
function draw(dataset: Dataset, count: number, seed: number): Dataset {
  if (dataset.count <= count) return dataset;
  return subset(dataset, shuffled(dataset.count, seed).slice(0, count).sort((a, b) => a - b), `${dataset.name} (${count} of ${dataset.count} samples, seed ${seed})`);
}

async function dataOptions(settings: DataSettings, model: SourceModel): Promise<OpenDataOptions> {
  const { tokenizer } = model;
  const integers = new Set(model.graph.inputs.filter(({ type }) => type === 'i64').map(({ name }) => name));
  let input = settings.input === undefined ? undefined : parseInput(settings.input);
  const beside = join(dirname(model.location), 'preprocessor_config.json');
  if (input === undefined && model.origin === 'onnx' && existsSync(beside)) {
    const file = await openFile(beside);
    input = parsePreprocessorConfig(new TextDecoder().decode(await file.read(0, Math.min(file.size, 1 << 20))), beside);
    await file.close();
  }
  return {
    integers, inputs: new Set(model.graph.inputs.map(({ name }) => name)), window: Math.min(maxWindow, model.language?.config.maxPositions ?? maxWindow),
    ...(input === undefined ? {} : { input }),
    ...(tokenizer === undefined ? {} : { tokenize: (text: string) => tokenizer.encode(text, { addSpecialTokens: false }) }),
  };
}

async function openDataset(path: string, options: OpenDataOptions): Promise<Dataset> {
  if (!existsSync(path)) throw errors.notFound({ path });
  const location = resolve(path);
  // Manifests and reports speak of the data, not of somebody's disk.
  const name = basename(location);
  if (statSync(location).isDirectory()) return { ...await openDataFolder(await openFolder(location), options), name };
  const source = await openFile(location);
  try {
    return { ...await openDataFile(source, options), name };
  } finally {
    await source.close();
  }
}

async function readLabels(path: string): Promise<Tensor> {
  if (!existsSync(path)) throw errors.notFound({ path });
  const source = await openFile(path);
  const bytes = await source.read(0, Math.min(source.size, 1 << 28));
  await source.close();
  if (/\.npy$/i.test(path)) return readNpy(bytes, path);
  if (/idx\d-ubyte(\.gz)?$/i.test(path)) return readIdx(bytes, path);
  const values = new TextDecoder().decode(bytes).split(/\r?\n/).filter((line) => line.trim() !== '').map((line) => Number(line.split(/[,\t]/).at(-1)));
  const bad = values.findIndex((value) => !Number.isInteger(value));
  if (values.length === 0 || bad >= 0) throw errors.labels({ path, why: values.length === 0 ? 'no labels' : `line ${bad + 1} does not end in a whole number` });
  return { type: 'i64', shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

/** What was fed, for the manifest; the hash covers names, shapes and bytes of every sample. */
export async function dataUse(dataset: Dataset): Promise<DataUse> {
  const hash = createHash('sha256');
  for (let begin = 0; begin < dataset.count; begin++) {
    const { feeds } = await dataset.batch([begin]);
    for (const [name, { shape, data }] of Object.entries(feeds)) {
      hash.update(`${name} ${shape.join('x')}\n`);
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  }
  return { name: dataset.name, samples: dataset.count, sha256: hash.digest('hex') };
}
