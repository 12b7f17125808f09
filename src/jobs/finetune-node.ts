/** Fine-tuning: trains a network for the numbers it will be stored in, writes it, and judges the file as `quantize` does. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { existsSync } from 'node:fs';
import { ortNode } from '../engine/ort-node.ts';
import type { Tensor } from '../engine/tensor.ts';
import { defineErrors } from '../errors.ts';
import { recommend } from '../evaluate/verdict.ts';
import { attempt, fileSink } from '../files/fs-node.ts';
import { writeOnnx } from '../files/onnx.ts';
import type { Graph } from '../graph/graph.ts';
import type { Dataset } from '../observe/data/index.ts';
import { checkpointFile } from './checkpoint-node.ts';
import { dataUse, openData, type Data } from './data-node.ts';
import { bitsOf, finetuneSettings, roundsOfFrozen, type FinetuneRequest, type FinetuneSettings } from './finetune-settings.ts';
import { judgeInProcess } from './judge-process-node.ts';
import { describeModel, fileHash } from './plan-node.ts';
import { silentProgress, type Progress } from './progress.ts';
import type { Output, QuantizeResult, TensorLine, TrainingCurve } from './result.ts';
import { circumstances, verdictOf } from './run-result-node.ts';
import { runSnippets, unexecutedSnippets } from './run-snippets-node.ts';
import { checkSettings, parseSettings } from './settings.ts';
import { openModern } from './source-node.ts';
import type { SourceModel } from './source.ts';
import { prepareTraining, type Prepared } from './training.ts';

export interface FinetuneResult extends QuantizeResult {
  readonly training: readonly TrainingCurve[];
}

const errors = defineErrors('finetune', {
  exists: (f: { file: string }) => [`${f.file} exists already`, 'choose another folder with -o, or allow it with --overwrite'],
  noData: (_: object) => ['training needs data', 'give some with --data, and what judges with --eval-data'],
});

export interface FinetuneHooks { readonly progress?: Progress }

/** What one arm of a run trains: the network in its low-bit form, or the float control. */
interface Arm { readonly file: string; readonly label: string; readonly weights: string; readonly activations: string }

export async function finetune(request: FinetuneRequest, { progress = silentProgress }: FinetuneHooks = {}): Promise<FinetuneResult> {
  const started = performance.now();
  const settings = checkSettings(finetuneSettings, request);
  const judging = parseSettings({
    model: settings.model, output: settings.output, data: settings.data, seed: settings.seed, threads: settings.threads, verdict: settings.verdict,
    calibrationSamples: 2 ** 31, evaluationSamples: settings.evaluationSamples,
    ...(settings.labels === undefined ? {} : { labels: settings.labels }), ...(settings.evalData === undefined ? {} : { evalData: settings.evalData }),
    ...(settings.evalLabels === undefined ? {} : { evalLabels: settings.evalLabels }), ...(settings.input === undefined ? {} : { input: settings.input }),
    ...(settings.task === undefined ? {} : { task: settings.task }),
  });
  const model = await openModern(settings.model, progress);
  try {
    const data = await openData(judging, model);
    if (data.calibration === undefined) throw errors.noData({});
    const arms = armsOf(model, settings);
    for (const { file } of arms) if (!settings.overwrite && !settings.resume && existsSync(join(settings.output, file))) throw errors.exists({ file: join(settings.output, file) });
    const training: TrainingCurve[] = [];
    const lines: TensorLine[][] = [];
    for (const arm of arms) {
      const { curve, tensors } = await trainArm(model, data.calibration, settings, arm, progress);
      training.push(curve);
      lines.push(tensors);
    }
    const judged = settings.verdict ? await judgeInProcess({ settings: judging, items: arms.map(({ file }) => ({ name: file, target: 'onnx' as const, path: join(settings.output, file) })) }, progress) : undefined;
    const loaded = arms.map(({ file, label }) => ({ file, target: 'onnx' as const, label }));
    const snippets = settings.verdict ? await runSnippets(loaded, settings.output, progress) : unexecutedSnippets(loaded);
    const outputs = await Promise.all(arms.map(async (arm, i): Promise<Output> => {
      const path = join(settings.output, arm.file);
      const { size } = await stat(path);
      const bits = (8 * lines[i].reduce((sum, line) => sum + line.bytesAfter, 0)) / model.parameters;
      const verdict = verdictOf({ file: arm.file, target: 'onnx', format: arm.weights, size, bitsPerWeight: bits }, judged?.[i]);
      return {
        file: arm.file, files: [{ path: arm.file, bytes: size, sha256: await fileHash(path) }], target: 'onnx', label: arm.label,
        recipe: settings.lora === undefined ? settings.recipe : `${settings.recipe}, rank ${settings.lora}`, tensors: lines[i], histograms: [], verdict, snippet: snippets[i],
        notes: [`trained for ${training[i].losses.length} steps in ${training[i].seconds.toFixed(0)} s; loss ${training[i].losses[0]?.toPrecision(3)} to ${tail(training[i].losses).toPrecision(3)}`],
      };
    }));
    return await resultOf(model, settings, data, outputs, training, (performance.now() - started) / 1000);
  } finally {
    await model.close();
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean of the last twentieth. */
function tail(losses: readonly number[]): number {
  return mean(losses.slice(-Math.max(1, Math.floor(losses.length / 20))));
}

function armsOf(model: SourceModel, settings: FinetuneSettings): Arm[] {
  const { weights, activations } = settings;
  const label = labelOf(settings);
  const main: Arm = { file: `${model.name}-${label}.onnx`, label, weights: weights === 'float' ? 'f32' : weights, activations };
  const control: Arm = { file: `${model.name}-float.onnx`, label: 'float', weights: 'f32', activations: 'float' };
  return settings.control && label !== 'float' ? [main, control] : [main];
}

function labelOf({ recipe, weights, activations, lora }: FinetuneSettings): string {
  if (roundsOfFrozen(recipe) !== undefined) return `${weights.replace(/@.*/, '').replaceAll(/[^a-z0-9]+/gi, '-')}-r${lora}`;
  const [w, a] = [bitsOf(weights), bitsOf(activations)];
  return w === undefined && a === undefined ? 'float' : `w${w ?? 'f'}a${a ?? 'f'}`;
}

async function trainArm(model: SourceModel, data: Dataset, settings: FinetuneSettings, arm: Arm, progress: Progress): Promise<{ readonly curve: TrainingCurve; readonly tensors: TensorLine[] }> {
  const started = performance.now();
  const control = arm.label === 'float';
  const prepared: Prepared = await prepareTraining(model, data, {
    ...settings, engine: ortNode, weightBits: control ? undefined : bitsOf(settings.weights), activationBits: control ? undefined : bitsOf(settings.activations),
  });
  const path = join(settings.output, arm.file);
  const checkpoint = checkpointFile(`${path}.training`, JSON.stringify({ ...settings, resume: false, overwrite: false, verdict: false, arm: arm.label }));
  const known = settings.resume ? await checkpoint.load(prepared.trainer) : new Map<string, Tensor>();
  progress.phase(`train ${arm.label}`, prepared.steps);
  const losses = Array.from((known.get('losses')?.data ?? []) as ArrayLike<number>);
  try {
    await prepared.fit({
      onStep(step, loss) {
        losses.push(loss);
        progress.advance(step);
        if (step % prepared.stepsPerEpoch !== 0 && step !== prepared.steps) return;
        const epoch = step / prepared.stepsPerEpoch;
        const own = losses.slice(step - 1 - ((step - 1) % prepared.stepsPerEpoch));
        progress.line(`${arm.label}: epoch ${Number.isInteger(epoch) ? epoch : epoch.toFixed(1)}, step ${step}, loss ${mean(own).toPrecision(4)}`);
      },
      checkpoint: (state) => checkpoint.save(new Map([...state, ['losses', { type: 'f64', shape: [losses.length], data: Float64Array.from(losses) }]])),
    });
    progress.end();
    const graph = await prepared.finish();
    await attempt(path, () => writeGraphAt(path, graph));
    await checkpoint.forget();
    return { curve: { file: arm.file, losses, stepsPerEpoch: prepared.stepsPerEpoch, seconds: (performance.now() - started) / 1000 }, tensors: prepared.tensors };
  } finally {
    await prepared.trainer.dispose();
  }
}

async function writeGraphAt(path: string, graph: Graph): Promise<void> {
  const sink = await fileSink(path);
  try {
    await writeOnnx(graph, sink);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

async function resultOf(model: SourceModel, settings: FinetuneSettings, data: Data, outputs: readonly Output[], training: readonly TrainingCurve[], seconds: number): Promise<FinetuneResult> {
  const verdicts = outputs.map(({ verdict }) => verdict);
  return {
    ...circumstances(verdicts, settings.threads), model: await describeModel(model), calibration: await dataUse(data.calibration!), evaluation: await dataUse(data.evaluation),
    float: { bytes: model.bytes, engine: 'onnxruntime-node' }, outputs, recommendation: recommend(verdicts, model.bytes, {}, { trained: true }), gates: [],
    settings: { ...settings, task: data.task.name }, training, seconds,
  };
}
