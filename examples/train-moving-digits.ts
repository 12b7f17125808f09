/**
 * Trains a small Llama to watch films of moving digits and to answer questions about them, and saves it:
 *
 *     node --import tsx examples/train-moving-digits.ts out/moving-digits [steps with short films] [steps with whole ones] [model to go on from]
 *
 * The loss is that of the answers, and a share of that of every next patch. Films are drawn as they are needed, none
 * twice; those with which it is judged have another seed.
 */
import { ortNode } from '../src/engine/ort-node.ts';
import { i64 } from '../src/engine/tensor.ts';
import { bindDimensions } from '../src/graph/bind.ts';
import { int } from '../src/graph/build.ts';
import { extend } from '../src/graph/extend.ts';
import { openFolder } from '../src/files/fs-node.ts';
import { saveLanguageModel } from '../src/jobs/save-language-model-node.ts';
import { openLanguageModel, type LanguageModel } from '../src/models/language-model.ts';
import { initialLlama, withTrainedWeights } from '../src/models/llama-init.ts';
import type { LlamaConfig } from '../src/models/llama-config.ts';
import { argMax } from '../src/numeric/distribution.ts';
import { answerRows, answersOf, film, filmTokens, questions, vocabulary, wholeFilm } from '../src/reproductions/data/moving-digits.ts';
import { LlamaDecoder } from '../src/runtime/llama-decoder.ts';
import { crossEntropy } from '../src/train/losses.ts';
import { adamw } from '../src/train/optimizers.ts';
import { trainableWeights } from '../src/train/parameters.ts';
import { cosine, withWarmup } from '../src/train/schedules.ts';
import { Trainer } from '../src/train/trainer.ts';
import { progress } from './shared/progress.ts';

const [folder = 'out/moving-digits', short = '1200', whole = '150', from] = process.argv.slice(2);
const [batch, rate, patchShare, threads] = [8, 2e-3, 0.5, Number(process.env.FEWBIT_THREADS ?? 2)];
/** Steps with films of so many frames. */
const stages = [{ frames: 3, steps: Number(short) }, { frames: wholeFilm, steps: Number(whole) }];
const steps = stages.reduce((sum, stage) => sum + stage.steps, 0);
const warmup = Math.ceil(steps / 20);
const schedule = withWarmup(warmup, cosine(steps - warmup));

async function open(model: LanguageModel, frames: number, before: number): Promise<Trainer> {
  const graph = model.graph();
  const tokens = filmTokens(frames);
  const rows = batch * tokens;
  const atAnswers = Array.from({ length: batch }, (_, b) => answerRows(frames).map((row) => b * tokens + row)).flat();
  const bound = await bindDimensions(graph, { batch, sequence: tokens });
  const { graph: objective, result: loss } = extend({ ...bound, inputs: [...bound.inputs, { name: 'labels', type: 'i64', shape: [rows] }, { name: 'answers', type: 'i64', shape: [atAnswers.length] }] }, (tape) => {
    const flat = tape.op('Reshape', [bound.outputs[0].name, tape.ints([rows, vocabulary])]);
    const asked = tape.op('Gather', [flat, tape.ints(atAnswers)], { axis: int(0) });
    return tape.op('Add', [crossEntropy(tape, asked, 'answers'), tape.op('Mul', [crossEntropy(tape, flat, 'labels'), tape.constant(patchShare)])]);
  });
  const { matrices, others } = trainableWeights(graph);
  const group = (names: readonly string[], decay: number) => ({ names, optimizer: adamw({ beta1: 0.9, beta2: 0.95 }), rate, decay, schedule: (step: number) => schedule(before + step) });
  return Trainer.open(objective, { engine: ortNode, loss, groups: [group(matrices, 0.1), group(others, 0)], clipNorm: 1, session: { threads } });
}

/** Share of right answers to each question over films of another seed, on the low-bit engine. */
async function judge(model: LanguageModel, frames: number, count: number): Promise<string> {
  const decoder = await LlamaDecoder.open(model.config as LlamaConfig, model.tensors);
  const right = questions.map(() => 0);
  for (let i = 0; i < count; i++) {
    const { tokens, answers } = film(2, i, frames);
    decoder.rewind(0);
    const logits = decoder.feed(tokens.slice(0, -1), { all: true });
    answerRows(frames).forEach((row, q) => {
      const scores = answersOf(q).map((id) => logits[row * vocabulary + id]);
      if (argMax(scores) === answers[q]) right[q]++;
    });
  }
  return questions.map(({ name }, q) => `${name} ${((100 * right[q]) / count).toFixed(0)} %`).join(', ');
}

const { seconds } = progress(steps);
let model = from === undefined
  ? initialLlama('moving-digits', { vocabulary, hidden: 128, intermediate: 256, layers: 4, heads: 2, context: filmTokens() }, { seed: 0 })
  : await openLanguageModel(await openFolder(from));
/** Films of another seed where training goes on, so that none is seen twice. */
const seed = from === undefined ? 1 : 4;
let seen = 0;
for (const { frames, steps: count } of stages) {
  const trainer = await open(model, frames, seen);
  for (let step = 1; step <= count; step++) {
    const films = Array.from({ length: batch }, (_, b) => film(seed, seen * batch + b, frames).tokens);
    const result = await trainer.accumulate({
      input_ids: i64([batch, filmTokens(frames)], films.flatMap((tokens) => tokens.slice(0, -1))), labels: i64([batch * filmTokens(frames)], films.flatMap((tokens) => tokens.slice(1))),
      answers: i64([batch * questions.length], films.flatMap((tokens) => answerRows(frames).map((row) => tokens[row + 1]))),
    });
    trainer.update();
    seen++;
    if (step % 25 === 0) console.log(`${frames} frames, step ${step}  loss ${result.loss.toFixed(3)}  gradient ${result.gradientNorm.toFixed(2)}  ${seconds()}`);
    if (step % 200 !== 0 && step !== count) continue;
    model = withTrainedWeights(model, trainer.graph());
    console.log(`right answers: ${await judge(model, frames, step === count ? 200 : 50)}`);
    await saveLanguageModel(model, folder);
  }
  await trainer.dispose();
}
console.log(`saved ${folder} after ${seconds()}`);
