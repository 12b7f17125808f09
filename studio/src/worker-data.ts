/** Inputs that a user gives: one file of arrays or text, with labels in a second one where there are any. */
import { inferTask, taskNamed } from '../../src/evaluate/tasks.ts';
import type { Task } from '../../src/evaluate/tasks/task.ts';
import { blobSource } from '../../src/files/source.ts';
import { openDataFile, readNpy, shuffled, subset, type Dataset } from '../../src/observe/data/index.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import type { FileRef } from './protocol.ts';

/** Samples that judge: seconds in a page. */
const most = { lm: 8, onnx: 256 } as const;
/** Tokens of a window of text. */
const window = 128;

export interface JudgingData { readonly set: Dataset; readonly task: Task }

export async function dataFrom(files: readonly FileRef[], model: SourceModel): Promise<JudgingData> {
  const labelFile = files.find(({ name }) => /label/i.test(name) && /\.npy$/i.test(name));
  const [inputs] = files.filter((file) => file !== labelFile);
  if (inputs === undefined) throw new Error('labels alone judge nothing: give inputs with them');
  const { tokenizer } = model;
  const whole = await openDataFile(blobSource(inputs.name, inputs.blob), {
    inputs: new Set(model.graph.inputs.map(({ name }) => name)), integers: new Set(model.graph.inputs.filter(({ type }) => type === 'i64').map(({ name }) => name)), window,
    ...(labelFile === undefined ? {} : { labels: readNpy(new Uint8Array(await labelFile.blob.arrayBuffer()), labelFile.name) }),
    ...(tokenizer === undefined ? {} : { tokenize: (text: string) => tokenizer.encode(text, { addSpecialTokens: false }) }),
  });
  const count = Math.min(whole.count, most[model.kind]);
  const set = count === whole.count ? whole : subset(whole, shuffled(whole.count, 1).slice(0, count).sort((a, b) => a - b), `${inputs.name} (${count} of ${whole.count} samples)`);
  return { set, task: model.kind === 'lm' ? taskNamed('lm') : inferTask(set) };
}
