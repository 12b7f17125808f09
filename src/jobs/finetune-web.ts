/** Fine-tuning in a page: the same training as in Node, on files that the page holds and data that it reads, judged there too. */
import type { Engine, Session } from '../engine/session.ts';
import type { Score } from '../evaluate/score.ts';
import { evaluate, inferTask, taskNamed } from '../evaluate/tasks.ts';
import { onnxBytes } from '../files/onnx.ts';
import type { Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';
import { bitsOf, finetuneSettings, type FinetuneRequest } from './finetune-settings.ts';
import { silentProgress, type Progress } from './progress.ts';
import { modernModel } from './recipe-runner.ts';
import { checkSettings } from './settings.ts';
import type { SourceModel } from './source.ts';
import { openBlobs, type NamedBlob } from './source-web.ts';
import { prepareTraining } from './training.ts';

/** What training may be asked for; the names mean what they mean in Node. */
export type WebFinetuneRequest = Omit<FinetuneRequest, 'model' | 'output' | 'data' | 'labels' | 'evalData' | 'evalLabels' | 'input' | 'threads' | 'resume' | 'overwrite' | 'verdict' | 'evaluationSamples'>;

export interface WebFinetuneOptions {
  /** Runs training and judging: `ortWeb(ort)`. */
  readonly engine: Engine;
  /** Samples with labels that are learned from. */
  readonly data: Dataset;
  /** Samples that judge and are never learned from; without them nothing is judged. */
  readonly evaluation?: Dataset;
  readonly progress?: Progress;
}

/** A trained model as one ONNX file. */
export interface WebTrainedFile {
  readonly bytes: Uint8Array;
  /** The written file against the float model; none for a file whose widths are chosen by an input. */
  readonly score?: Score;
}

export interface WebFinetuned extends WebTrainedFile {
  readonly losses: readonly number[];
  /** Further files: of double rounding those of the other widths, by falling order, and the one that is switched. */
  readonly more: readonly WebTrainedFile[];
}

/** Trains a model for its low-bit form. */
export async function finetuneFiles(files: readonly NamedBlob[], request: WebFinetuneRequest, { engine, data, evaluation, progress = silentProgress }: WebFinetuneOptions): Promise<WebFinetuned> {
  const model = await modernModel(await openBlobs(files));
  const settings = checkSettings(finetuneSettings, { ...request, model: model.name, output: '.', data: data.name });
  const prepared = await prepareTraining(model, data, { ...settings, threads: 1, engine, weightBits: bitsOf(settings.weights), activationBits: bitsOf(settings.activations) });
  const losses: number[] = [];
  progress.phase('train', prepared.steps);
  try {
    await prepared.fit({
      onStep(step, loss) {
        losses.push(loss);
        progress.advance(step);
      },
    });
  } finally {
    await prepared.trainer.dispose();
    progress.end();
  }
  const trained = await prepared.finish();
  const written = await Promise.all(trained.map(({ graph }) => onnxBytes(graph)));
  const scores = evaluation === undefined ? [] : await scoresOf(model, written.filter((_, i) => trained[i].isSwitched !== true), evaluation, engine);
  const [first, ...more] = written.map((bytes, i): WebTrainedFile => ({ bytes, ...(scores[i] === undefined ? {} : { score: scores[i] }) }));
  return { ...first, losses, more };
}

async function scoresOf(model: Pick<SourceModel, 'kind' | 'graph'>, files: readonly Uint8Array[], evaluation: Dataset, engine: Engine): Promise<readonly Score[]> {
  const sessions: Session[] = [];
  try {
    sessions.push(await openGraph(model.graph, engine));
    for (const bytes of files) sessions.push(await engine.open({ bytes }));
    const [float, ...trained] = sessions;
    return await evaluate(model.kind === 'lm' ? taskNamed('lm') : inferTask(evaluation), float, trained.map((session, i) => ({ name: `trained ${i}`, session })), evaluation, {});
  } finally {
    for (const session of sessions) await session.dispose();
  }
}
