/** What each task makes of pairs of outputs, worked by hand, and the loop over real sessions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import type { Session } from '../../src/engine/session.ts';
import { f32, i64, type Tensor } from '../../src/engine/tensor.ts';
import { evaluate, inferTask, taskNamed, tasks } from '../../src/evaluate/tasks.ts';
import type { Outputs, Task } from '../../src/evaluate/tasks/task.ts';
import type { Metric } from '../../src/evaluate/score.ts';
import { onnxBytes } from '../../src/files/onnx-write.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { arrayDataset, type Batch, type Labels } from '../../src/observe/data/dataset.ts';

const near = (found: number | undefined, expected: number, tolerance = 1e-9) =>
  assert.ok(found !== undefined && Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), `${found} is not ${expected}`);
const row = (shape: readonly number[], ...values: readonly number[]): Tensor => ({ type: 'f64', shape, data: Float64Array.from(values) });

/** The score of one task over batches of (float, candidate) outputs. */
function judged(name: string, batches: readonly { readonly float: Tensor; readonly candidate: Tensor; readonly labels?: Labels; readonly input?: Tensor }[], border?: number) {
  const judge = taskNamed(name).judge(border === undefined ? {} : { border });
  for (const { float, candidate, labels, input } of batches) {
    const batch: Batch = { feeds: input === undefined ? {} : { input }, ...(labels === undefined ? {} : { labels }) };
    judge.add(batch, { y: float }, { z: candidate }, { float: 'y', candidate: 'z' });
  }
  return judge.finish();
}
const named = (metrics: readonly Metric[], name: string) => metrics.find((metric) => metric.name === name)!;

test('tasks are found by name, and an unknown name is told the known ones', () => {
  for (const task of tasks) assert.equal(taskNamed(task.name), task);
  assert.throws(() => taskNamed('guess'), { code: 'task.unknown', message: 'unknown task: guess (known: classify, lm, upscale, detect:fastestdet, generic)' });
});

test('the labels decide the task, and without any the outputs are compared', () => {
  const kinds: [Labels['kind'] | undefined, string][] = [['classes', 'classify'], ['tokens', 'lm'], ['images', 'upscale'], ['boxes', 'detect:fastestdet'], [undefined, 'generic']];
  for (const [labels, name] of kinds) assert.equal(inferTask(labels === undefined ? {} : { labels }).name, name);
});

test('classification: KL, agreement and paired accuracy over all samples of all batches', () => {
  const ln = Math.log;
  const { error, metrics, items } = judged('classify', [
    // Right in both; right in the float model alone.
    { float: row([2, 2], ln(3), 0, ln(3), 0), candidate: row([2, 2], ln(3), 0, 0, ln(3)), labels: { kind: 'classes', values: [0, 0] } },
    // Right in the candidate alone; wrong in both.
    { float: row([2, 2], ln(3), 0, ln(3), 0), candidate: row([2, 2], 0, ln(3), ln(3), 0), labels: { kind: 'classes', values: [1, 1] } },
  ]);
  assert.equal(items, undefined);
  // (¾, ¼) against (¼, ¾): ¾ ln 3 − ¼ ln 3.
  near(error.kl!.mean, 0.25 * ln(3));
  near(error.kl!.max, 0.5 * ln(3));
  assert.equal(error.kl!.count, 4);
  assert.equal(error.agreement, 0.5);
  // Signal 4 (ln 3)²; noise 2 · 2 (ln 3)².
  near(error.sqnr, 0);
  near(error.cosine, 0.5);
  assert.deepEqual(metrics.map(({ name }) => name), ['top-1']);
  const { float, quantized, drop, dropError } = metrics[0];
  assert.deepEqual([float, quantized, drop], [50, 50, 0]);
  // Differences 0, −100, 100, 0: variance 20 000 / 3.
  near(dropError, Math.sqrt(20000 / 3 / 4));
});

test('classification: rows that are probabilities already are taken as they are', () => {
  const { error } = judged('classify', [{ float: row([1, 2], 0.5, 0.5), candidate: row([1, 2], 0.25, 0.75) }]);
  near(error.kl!.mean, 0.5 * Math.log(4 / 3));
  const certain = judged('classify', [{ float: row([1, 2], 0, 1), candidate: row([1, 2], 1, 0) }]);
  // A probability of zero counts as 10⁻¹², so that the divergence stays finite.
  near(certain.error.kl!.mean, -Math.log(1e-12));
});

test('classification: top-5 is told from twenty classes on', () => {
  const scores = Array.from({ length: 20 }, (_, i) => -i);
  const few = judged('classify', [{ float: row([1, 19], ...scores.slice(0, 19)), candidate: row([1, 19], ...scores.slice(0, 19)), labels: { kind: 'classes', values: [4] } }]);
  assert.deepEqual(few.metrics.map(({ name, float }) => [name, float]), [['top-1', 0]]);
  const both = row([2, 20], ...scores, ...scores);
  const many = judged('classify', [{ float: both, candidate: both, labels: { kind: 'classes', values: [4, 5] } }]);
  assert.deepEqual(many.metrics.map(({ name, float }) => [name, float]), [['top-1', 0], ['top-5', 50]]);
});

test('classification: labels beyond the classes and outputs of two sizes are refused', () => {
  const two = row([1, 2], 0, 1);
  for (const label of [2, -1]) {
    assert.throws(() => judged('classify', [{ float: two, candidate: two, labels: { kind: 'classes', values: [label] } }]), {
      code: 'classify.badLabel', message: `label ${label} is not one of the model's 2 classes`,
    });
  }
  assert.throws(() => judged('classify', [{ float: two, candidate: row([1, 3], 0, 1, 2) }]), {
    code: 'classify.differentShapes', message: 'outputs differ in shape: float [1, 2], candidate [1, 3]',
  });
});

const ln = Math.log;
/** Two windows of two tokens over two words. */
const words = {
  // Probabilities of the right tokens (words 1, 0 and 1, 1): ½, ½ and ½, ½.
  float: row([2, 2, 2], 0, 0, 0, 0, 0, 0, 0, 0),
  // ¾, ¼ and ¾, ¾.
  candidate: row([2, 2, 2], 0, ln(3), 0, ln(3), 0, ln(3), 0, ln(3)),
  labels: { kind: 'tokens' as const, values: Int32Array.of(1, 0, 1, 1), shape: [2, 2] as const },
};

test('language: perplexity comes with the paired error over windows', () => {
  const { error, metrics, items } = judged('lm', [words]);
  assert.deepEqual(items, { count: 4, name: 'tokens' });
  near(error.kl!.mean, 0.5 * ln(4 / 3));
  assert.equal(error.agreement, 0);
  near(error.deltaP, 0.25);
  const [perplexity, nll] = metrics;
  // Negative log-likelihoods per window: ln 2 twice; ln(4/√3) and ln(4/3).
  const windows = [ln(4 / Math.sqrt(3)), ln(4 / 3)];
  const mean = (windows[0] + windows[1]) / 2;
  // Of two values the standard error is half their distance.
  const standardError = (windows[0] - windows[1]) / 2;
  assert.deepEqual([nll.name, nll.unit, nll.better, perplexity.name, perplexity.better], ['nll', 'nats', 'lower', 'perplexity', 'lower']);
  near(nll.float, ln(2));
  near(nll.quantized, mean);
  near(nll.drop, mean - ln(2));
  near(nll.dropError, standardError);
  near(perplexity.float, 2);
  near(perplexity.quantized, Math.exp(mean));
  near(perplexity.drop, Math.exp(mean) - 2);
  near(perplexity.dropError, Math.exp(mean) * standardError);
});

test('language: without next tokens there is divergence and no perplexity', () => {
  const { error, metrics } = judged('lm', [{ float: words.float, candidate: words.candidate }]);
  near(error.kl!.mean, 0.5 * ln(4 / 3));
  assert.equal(error.deltaP, undefined);
  assert.deepEqual(metrics, []);
});

test('language: logits of other shapes and tokens outside the vocabulary are refused', () => {
  assert.throws(() => judged('lm', [{ float: row([1, 2], 0, 0), candidate: row([1, 2], 0, 0) }]), {
    code: 'lm.badShape', message: 'logits must be [batch, tokens, vocabulary] and alike: float [1, 2], candidate [1, 2]',
  });
  assert.throws(() => judged('lm', [{ float: row([1, 1, 2], 0, 0), candidate: row([1, 2, 1], 0, 0) }]), { code: 'lm.badShape' });
  assert.throws(() => judged('lm', [{ ...words, labels: { ...words.labels, values: Int32Array.of(1, 0, 2, 1) } }]), {
    code: 'lm.badTarget', message: 'token 2 is not in the model\'s vocabulary of 2',
  });
});

/** A grey picture of 12 × 12 in RGB planes, 0..1. */
const grey = (...levels: number[]) => row([levels.length, 3, 12, 12], ...levels.flatMap((level) => Array<number>(432).fill(level / 255)));
const target = (level: number) => ({ width: 12, height: 12, channels: 3 as const, data: new Uint8Array(432).fill(level) });

test('super-resolution: PSNR on luma and RGB and SSIM to the target, rounded to 8 bits', () => {
  const { error, metrics } = judged('upscale', [{
    float: grey(101.3), candidate: grey(103.8), labels: { kind: 'images', values: [target(100)] }, input: row([1, 3, 12, 12], ...Array<number>(432).fill(0)),
  }], 0);
  // Differences of 1 and 4 levels; luma has 219 for 255.
  near(named(metrics, 'psnr-rgb').float, 20 * Math.log10(255));
  near(named(metrics, 'psnr-rgb').quantized, 20 * Math.log10(255 / 4));
  near(named(metrics, 'psnr-y').float, 20 * Math.log10((255 * 255) / 219));
  near(named(metrics, 'psnr-y').drop, 20 * Math.log10(4));
  const y = (level: number) => 16 + (219 * level) / 255;
  near(named(metrics, 'ssim').quantized, (2 * y(100) * y(104) + 6.5025) / (y(100) ** 2 + y(104) ** 2 + 6.5025));
  near(error.psnrToFloat, 20 * Math.log10(255 / 3));
  near(error.sqnr, 20 * Math.log10(101.3 / 2.5));
});

test('super-resolution: images of one batch are judged one by one', () => {
  const { error, metrics } = judged('upscale', [{
    float: grey(100, 100), candidate: grey(101, 104), labels: { kind: 'images', values: [target(99), target(98)] }, input: row([2, 3, 6, 6], ...Array<number>(216).fill(0)),
  }]);
  near(error.psnrToFloat, (20 * Math.log10(255) + 20 * Math.log10(255 / 4)) / 2);
  near(named(metrics, 'psnr-rgb').float, (20 * Math.log10(255) + 20 * Math.log10(255 / 2)) / 2);
  near(named(metrics, 'psnr-rgb').quantized, (20 * Math.log10(255 / 2) + 20 * Math.log10(255 / 6)) / 2);
});

test('super-resolution: the border that is not judged is as wide as the factor', () => {
  const wrong = target(100);
  // A frame of two pixels is white.
  for (let i = 0; i < 144; i++) if (i % 12 < 2 || i % 12 > 9 || i < 24 || i >= 120) wrong.data.fill(255, i * 3, i * 3 + 3);
  const over = (border?: number) => judged('upscale', [{
    float: grey(100), candidate: grey(100), labels: { kind: 'images', values: [wrong] }, input: row([1, 6, 6, 3], ...Array<number>(108).fill(0)),
  }], border).metrics;
  assert.equal(named(over(), 'psnr-rgb').float, Infinity);
  assert.equal(named(over(), 'psnr-y').drop, 0);
  assert.ok(named(over(1), 'psnr-rgb').float < 20);
});

test('super-resolution: perfect images on both sides differ by nothing, without an error', () => {
  const { metrics } = judged('upscale', [{
    float: grey(100, 50), candidate: grey(100, 50), labels: { kind: 'images', values: [target(100), target(50)] }, input: grey(100, 50),
  }]);
  assert.deepEqual(named(metrics, 'psnr-rgb'), { name: 'psnr-rgb', unit: 'dB', better: 'higher', float: Infinity, quantized: Infinity, drop: 0 });
  // Nothing is left of 12 × 12 pixels but 10 × 10, too small for the window.
  assert.ok(Number.isNaN(named(metrics, 'ssim').float));
});

test('super-resolution: channels may come last and pixels in 0..255, beyond which they are clipped', () => {
  const shape = [1, 12, 12, 3];
  const { metrics } = judged('upscale', [{
    float: row(shape, ...Array<number>(432).fill(300)), candidate: row(shape, ...Array<number>(432).fill(-7)), labels: { kind: 'images', values: [target(254)] },
    input: row(shape, ...Array<number>(432).fill(0)),
  }], 0);
  near(named(metrics, 'psnr-rgb').float, 20 * Math.log10(255));
  near(named(metrics, 'psnr-rgb').quantized, 20 * Math.log10(255 / 254));
});

test('super-resolution: what is not an image or not of the target\'s size is refused', () => {
  const flat = row([1, 432], ...Array<number>(432).fill(0));
  assert.throws(() => judged('upscale', [{ float: flat, candidate: flat }]), { code: 'upscale.notAnImage' });
  assert.throws(() => judged('upscale', [{ float: grey(1), candidate: flat }]), { code: 'upscale.differentShapes', message: 'outputs differ in shape: float [1, 3, 12, 12], candidate [1, 432]' });
  assert.throws(() => judged('upscale', [{ float: grey(1), candidate: grey(1), input: grey(1), labels: { kind: 'images', values: [{ ...target(1), width: 24, height: 6 }] } }]), {
    code: 'upscale.wrongSize', message: 'output of 12x12 pixels, target of 24x6',
  });
});

test('detection: boxes are decoded from both outputs and compared with the truth', () => {
  // One cell, one category: a box of half the image around its corner, with objectness 0.9 or 0.
  const output = (objectness: number) => [objectness, 0, 0, 0, 0, 1];
  const truth = { width: 100, height: 100, boxes: [{ category: 0, x0: -25, y0: -25, x1: 25, y1: 25 }] };
  const { error, metrics } = judged('detect:fastestdet', [{
    float: row([2, 6, 1, 1], ...output(0.9), ...output(0.9)), candidate: row([2, 6, 1, 1], ...output(0.9), ...output(0)),
    labels: { kind: 'boxes', values: [truth, truth] },
  }]);
  assert.deepEqual(metrics.map(({ name, unit, float }) => [name, unit, float]), [['mAP50', '%', 100], ['mAP50-95', '%', 100]]);
  // One of two found: recall ½, 51 of 101 points.
  near(metrics[0].quantized, 100 * (51 / 101));
  near(error.sqnr, 10 * Math.log10((2 * 1.81) / 0.81));
});

test('detection: without boxes the outputs alone are compared', () => {
  const { error, metrics } = judged('detect:fastestdet', [{ float: row([1, 6, 1, 1], 1, 0, 0, 0, 0, 1), candidate: row([1, 6, 1, 1], 1, 0, 0, 0, 0, 1) }]);
  assert.deepEqual(error, { sqnr: Infinity, cosine: 1 });
  assert.deepEqual(metrics, []);
});

function compared(...pairs: readonly (readonly [Outputs, Outputs])[]) {
  const judge = taskNamed('generic').judge({});
  for (const [float, candidate] of pairs) judge.add({ feeds: {} }, float, candidate, { float: 'a', candidate: 'a' });
  return judge.finish();
}

test('any model: the worst output speaks for all, over all batches', () => {
  const { error, metrics } = compared(
    [{ a: row([2], 3, 4), b: row([1], 1000), only: row([1], 1) }, { a: row([2], 3, 4.5), b: row([1], 1000) }],
    [{ a: row([2], 3, 4), b: row([1], 0) }, { a: row([2], 3, 4.5), b: row([1], 0) }],
  );
  near(error.sqnr, 20);
  near(error.cosine, (9 + 18) / Math.sqrt(25 * (9 + 20.25)));
  assert.deepEqual(metrics, []);
});

test('any model: outputs without a shared name or of another size are refused', () => {
  assert.throws(() => compared([{ a: row([1], 0) }, { b: row([1], 0), c: row([1], 0) }]), { code: 'generic.nothingShared', message: 'no output in common: float has a; candidate has b, c' });
  assert.throws(() => compared([{ a: row([2], 0, 0) }, { a: row([1, 1], 0) }]), { code: 'generic.differentShapes', message: 'output a: float [2], candidate [1, 1]' });
});

/** y = x · w with two inputs to two outputs, as a session of ONNX Runtime. */
async function linear(weights: readonly number[], { batch = 'n' as number | string, name = 'logits' } = {}): Promise<Session> {
  const g = new GraphBuilder('linear', 17);
  const x = g.input('x', 'f32', [batch, 2]);
  g.output(g.op('MatMul', [x, g.weight(floatTensor('w', [2, 2], Float32Array.from(weights)))]), name, 'f32', [batch, 2]);
  return ortNode.open({ bytes: await onnxBytes(g.graph()) });
}
const five = arrayDataset('five', new Map([['input', f32([5, 2], Float32Array.of(1, 0, 0, 1, 2, 1, 1, 2, 3, 0))]]), i64([5], [0, 1, 0, 1, 1]));

test('every candidate is judged over the same samples beside the float model', async (t) => {
  const [float, same, swapped] = await Promise.all([linear([1, 0, 0, 1]), linear([1, 0, 0, 1], { name: 'y' }), linear([0, 1, 1, 0])]);
  t.after(() => Promise.all([float, same, swapped].map((session) => session.dispose())));
  const steps: (readonly [number, number])[] = [];
  const scores = await evaluate(taskNamed('classify'), float, [{ name: 'same', session: same }, { name: 'swapped', session: swapped }], five, {
    batch: 2, onProgress: (done, total) => steps.push([done, total]),
  });
  assert.deepEqual(steps, [[2, 5], [4, 5], [5, 5]]);
  assert.deepEqual(scores.map(({ candidate, task, data, samples }) => [candidate, task, data, samples]), [['same', 'classify', 'five', 5], ['swapped', 'classify', 'five', 5]]);
  assert.deepEqual([scores[0].error.agreement, scores[0].error.kl!.max, scores[0].error.sqnr], [1, 0, Infinity]);
  assert.deepEqual(scores.map(({ metrics: [{ float: before, quantized }] }) => [before, quantized]), [[80, 80], [80, 20]]);
  assert.equal(scores[1].error.agreement, 0);
  assert.equal((await evaluate(taskNamed('generic'), float, [{ name: 'swapped', session: swapped }], five, { limit: 2 }))[0].samples, 2);
});

test('a model of a fixed batch size gets full batches only', async (t) => {
  const [float, fixed] = await Promise.all([linear([1, 0, 0, 1]), linear([1, 0, 0, 1], { batch: 2 })]);
  t.after(() => Promise.all([float.dispose(), fixed.dispose()]));
  assert.equal((await evaluate(taskNamed('classify'), float, [{ name: 'fixed', session: fixed }], five))[0].samples, 4);
  await assert.rejects(evaluate(taskNamed('classify'), float, [{ name: 'fixed', session: fixed }], five, { limit: 1 }), {
    code: 'task.noSamples', message: 'five: fewer samples than the model\'s fixed batch of 2',
  });
});

test('a value that is not finite stops the run with the candidate, the output and the sample', async (t) => {
  // 10 · 10³⁸ leaves float32.
  const [float, broken] = await Promise.all([linear([1, 0, 0, 1]), linear([1e38, 0, 0, 1e38])]);
  t.after(() => Promise.all([float.dispose(), broken.dispose()]));
  const large = arrayDataset('large', new Map([['x', f32([2, 2], Float32Array.of(1, 1, 10, 1))]]));
  const run = (task: Task) => evaluate(task, float, [{ name: 'small.onnx', session: broken }], large, { batch: 1 });
  for (const name of ['classify', 'generic']) {
    await assert.rejects(run(taskNamed(name)), { code: 'task.notFinite', message: 'small.onnx: output logits has a value that is not finite at sample 1' });
  }
});
