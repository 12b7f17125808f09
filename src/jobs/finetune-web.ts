/** Fine-tuning in a page: the same training as in Node, on files that the page holds and data that it reads, judged there too. */
import type { Engine } from '../engine/session.ts';
import type { Score } from '../evaluate/score.ts';
import { evaluate, inferTask, taskNamed } from '../evaluate/tasks.ts';
import { onnxBytes } from '../files/onnx.ts';
import type { Dataset } from '../observe/data/index.ts';
import { openGraph } from '../observe/taps.ts';
import { bitsOf, finetuneSettings, type FinetuneRequest } from './finetune-settings.ts';
import { silentProgress, type Progress } from './progress.ts';
import { modern } from './recipe-runner.ts';
import { checkSettings } from './settings.ts';
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

export interface WebFinetuned {
  /** The trained model as one ONNX file. */
  readonly bytes: Uint8Array;
  readonly losses: readonly number[];
  /** The written file against the float model. */
  readonly score?: Score;
}

/** Trains a model for its low-bit form. */
export async function finetuneFiles(files: readonly NamedBlob[], request: WebFinetuneRequest, { engine, data, evaluation, progress = silentProgress }: WebFinetuneOptions): Promise<WebFinetuned> {
  const opened = await openBlobs(files);
  const model = opened.kind === 'lm' ? opened : { ...opened, graph: await modern(opened.graph) };
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
  const bytes = await onnxBytes(await prepared.finish());
  if (evaluation === undefined) return { bytes, losses };
  const [float, trained] = [await openGraph(model.graph, engine), await engine.open({ bytes })];
  try {
    const task = model.kind === 'lm' ? taskNamed('lm') : inferTask(evaluation);
    const [score] = await evaluate(task, float, [{ name: 'trained', session: trained }], evaluation, {});
    return { bytes, losses, score };
  } finally {
    await float.dispose();
    await trained.dispose();
  }
}
