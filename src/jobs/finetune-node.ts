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

/** A file that is written, and how it holds weights. */
interface Planned { readonly file: string; readonly label: string; readonly weights: string }

/** What one arm of a run trains: the network in its low-bit form, or the float control. Its files come in the order in which training gives them. */
interface Arm { readonly label: string; readonly files: readonly Planned[]; /** Holds all widths and goes with the others; not judged. */ readonly switched?: string }

interface Trained { readonly curve: TrainingCurve; readonly tensors: readonly TensorLine[][] }

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
    for (const file of arms.flatMap(writtenBy)) if (!settings.overwrite && !settings.resume && existsSync(join(settings.output, file))) throw errors.exists({ file: join(settings.output, file) });
    const trained: Trained[] = [];
    for (const arm of arms) trained.push(await trainArm(model, data.calibration, settings, arm, progress));
    const loaded = arms.flatMap(({ files }) => files.map(({ file, label }) => ({ file, target: 'onnx' as const, label })));
    const judged = settings.verdict ? await judgeInProcess({ settings: judging, items: loaded.map(({ file, target }) => ({ name: file, target, path: join(settings.output, file) })) }, progress) : undefined;
    const snippets = settings.verdict ? await runSnippets(loaded, settings.output, progress) : unexecutedSnippets(loaded);
    const outputs = await Promise.all(arms.flatMap((arm, a) => arm.files.map(async ({ file, label, weights }, i): Promise<Output> => {
      const at = loaded.findIndex((other) => other.file === file);
      const { curve: { losses, seconds }, tensors } = trained[a];
      const files = await Promise.all([file, ...(i === 0 && arm.switched !== undefined ? [arm.switched] : [])].map(async (path) => ({ path, bytes: (await stat(join(settings.output, path))).size, sha256: await fileHash(join(settings.output, path)) })));
      const bits = (8 * tensors[i].reduce((sum, line) => sum + line.bytesAfter, 0)) / model.parameters;
      return {
        file, files, target: 'onnx', label, recipe: settings.lora === undefined ? settings.recipe : `${settings.recipe}, rank ${settings.lora}`,
        tensors: tensors[i], histograms: [], verdict: verdictOf({ file, target: 'onnx', format: weights, size: files[0].bytes, bitsPerWeight: bits }, judged?.[at]), snippet: snippets[at],
        notes: [
          `trained for ${losses.length} steps in ${seconds.toFixed(0)} s; loss ${losses[0]?.toPrecision(3)} to ${tail(losses).toPrecision(3)}`,
          ...(arm.switched === undefined ? [] : [`${arm.switched} computes the same where its input \`bits\` gives every layer ${bitsOf(weights)}, and takes other widths as well`]),
        ],
      };
    })));
    const training = trained.map(({ curve }) => curve);
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
  const { weights, recipe, widths } = settings;
  const planned = (label: string, w: string): Planned => ({ file: `${model.name}-${label}.onnx`, label, weights: w === 'float' ? 'f32' : w });
  const label = labelOf(settings);
  const main: Arm = recipe === 'double-rounding'
    ? { label: 'switchable', switched: `${model.name}-switchable.onnx`, files: widths.map((width) => planned(`w${width}a${width}`, `int${width}/channel`)) }
    : { label, files: [planned(label, weights)] };
  return settings.control && main.label !== 'float' ? [main, { label: 'float', files: [planned('float', 'float')] }] : [main];
}

/** Every file of an arm. */
const writtenBy = ({ files, switched }: Arm): string[] => [...files.map(({ file }) => file), ...(switched === undefined ? [] : [switched])];

function labelOf({ recipe, weights, activations, lora }: FinetuneSettings): string {
  if (roundsOfFrozen(recipe) !== undefined) return `${weights.replace(/@.*/, '').replaceAll(/[^a-z0-9]+/gi, '-')}-r${lora}`;
  const [w, a] = [bitsOf(weights), bitsOf(activations)];
  return w === undefined && a === undefined ? 'float' : `w${w ?? 'f'}a${a ?? 'f'}`;
}

async function trainArm(model: SourceModel, data: Dataset, settings: FinetuneSettings, arm: Arm, progress: Progress): Promise<Trained> {
  const started = performance.now();
  const control = arm.label === 'float';
  const prepared: Prepared = await prepareTraining(model, data, {
    ...settings, ...(control && settings.recipe === 'double-rounding' ? { recipe: 'lsq' as const } : {}),
    engine: ortNode, weightBits: control ? undefined : bitsOf(settings.weights), activationBits: control ? undefined : bitsOf(settings.activations),
  });
  const name = arm.switched ?? arm.files[0].file;
  const checkpoint = checkpointFile(`${join(settings.output, name)}.training`, JSON.stringify({ ...settings, resume: false, overwrite: false, verdict: false, arm: arm.label }));
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
    const graphs = await prepared.finish();
    for (const [i, file] of writtenBy(arm).entries()) await attempt(join(settings.output, file), () => writeGraphAt(join(settings.output, file), graphs[i].graph));
    await checkpoint.forget();
    return { curve: { file: name, losses, stepsPerEpoch: prepared.stepsPerEpoch, seconds: (performance.now() - started) / 1000 }, tensors: graphs.map(({ tensors }) => tensors) };
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
