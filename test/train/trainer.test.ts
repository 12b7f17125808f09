import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, i64, type Tensor } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { extend } from '../../src/graph/extend.ts';
import { normal } from '../../src/numeric/random.ts';
import { arrayDataset } from '../../src/observe/data/index.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { fit } from '../../src/train/fit.ts';
import { crossEntropy, distillation } from '../../src/train/losses.ts';
import { classification } from '../../src/train/objective.ts';
import { adamw, sgd } from '../../src/train/optimizers.ts';
import { Trainer, type TrainerOptions } from '../../src/train/trainer.ts';

const values = (count: number, stream: number, scale = 1) => Float32Array.from({ length: count }, (_, i) => scale * normal(3, stream, i));
const [rows, inputs, hidden, classes] = [16, 6, 12, 3];

/** Two layers; labels follow from the first input. */
function network() {
  const g = new GraphBuilder('small', 21);
  const x = g.input('x', 'f32', [rows, inputs]);
  const h = g.op('Tanh', [g.op('MatMul', [x, g.weight(floatTensor('w1', [inputs, hidden], values(inputs * hidden, 1, 0.5)))])]);
  g.output(g.op('Gemm', [h, g.weight(floatTensor('w2', [hidden, classes], values(hidden * classes, 2, 0.5))), g.weight(floatTensor('b2', [classes], new Float32Array(classes)))]), 'logits', 'f32', [rows, classes]);
  return g.graph();
}
const samples = values(64 * inputs, 5);
const labels = Array.from({ length: 64 }, (_, i) => (samples[i * inputs] > 0.5 ? 2 : samples[i * inputs] > -0.5 ? 1 : 0));
const data = arrayDataset('made', new Map<string, Tensor>([['x', f32([64, inputs], samples)]]), i64([64], labels));

const objective = classification(network(), { logits: 'logits' });
const options = (more: Partial<TrainerOptions> = {}): TrainerOptions =>
  ({ engine: ortNode, loss: objective.loss, groups: [{ names: ['w1', 'w2', 'b2'], optimizer: adamw(), rate: 0.02, decay: 0.01 }], averageDecay: 0.9, clipNorm: 1, ...more });
const training = (steps: number) => ({ data, batch: rows, steps, seed: 4, feed: ({ feeds, labels: known }: Awaited<ReturnType<typeof data.batch>>) => ({ ...feeds, ...objective.feed(known, undefined) }) });

test('a network learns, and a run that stops and continues from its checkpoint is the same bit for bit', async () => {
  const whole = await Trainer.open(objective.graph, options());
  const { losses } = await fit(whole, training(40));
  assert.ok(losses.at(-1)! < 0.5 * losses[0], `${losses[0]} to ${losses.at(-1)}`);

  const first = await Trainer.open(objective.graph, options());
  await fit(first, training(17));
  const second = await Trainer.open(objective.graph, options());
  second.restore(first.state());
  const rest = await fit(second, training(40));
  assert.deepEqual(rest.losses, losses.slice(17));
  assert.deepEqual(second.state(), whole.state());
  await assert.rejects(async () => second.restore(new Map([['step', whole.state().get('step')!]])), { code: 'train.state' });
});

test('two halves accumulated make the step of the whole batch', async () => {
  const batch = await data.batch(Array.from({ length: rows }, (_, i) => i));
  const feeds = { ...batch.feeds, ...objective.feed(batch.labels, undefined) };
  const once = await Trainer.open(objective.graph, options({ groups: [{ names: ['w1'], optimizer: sgd(), rate: 1 }] }));
  const twice = await Trainer.open(objective.graph, options({ groups: [{ names: ['w1'], optimizer: sgd(), rate: 1 }] }));
  await once.step(feeds);
  await twice.accumulate(feeds);
  await twice.accumulate(feeds);
  twice.update();
  once.values('w1').forEach((value, i) => assert.ok(Math.abs(value - twice.values('w1')[i]) < 1e-6));
});

test('gradients are scaled to the norm that is allowed', async () => {
  const batch = await data.batch(Array.from({ length: rows }, (_, i) => i));
  const trainer = await Trainer.open(objective.graph, options({ clipNorm: 1e-3, groups: [{ names: ['w1', 'w2', 'b2'], optimizer: sgd(), rate: 1 }] }));
  const before = ['w1', 'w2', 'b2'].map((name) => trainer.values(name).slice());
  const { gradientNorm } = await trainer.step({ ...batch.feeds, ...objective.feed(batch.labels, undefined) });
  assert.ok(gradientNorm > 0.01);
  const moved = Math.sqrt(['w1', 'w2', 'b2'].reduce((sum, name, k) => sum + trainer.values(name).reduce((s, v, i) => s + (v - before[k][i]) ** 2, 0), 0));
  assert.ok(Math.abs(moved - 1e-3) < 1e-5, String(moved));
});

test('steps in the memory of the kernel are those of plain loops, bit for bit', async () => {
  const g = new GraphBuilder('wide', 21);
  const h = g.op('Tanh', [g.op('MatMul', [g.input('x', 'f32', [rows, inputs]), g.weight(floatTensor('wide', [inputs, 1500], values(inputs * 1500, 1, 0.5)))])]);
  g.output(g.op('MatMul', [h, g.weight(floatTensor('last', [1500, classes], values(1500 * classes, 2, 0.1)))]), 'logits', 'f32', [rows, classes]);
  const wide = classification(g.graph(), { logits: 'logits' });
  for (const optimizer of [sgd(), sgd({ momentum: 0.9 }), adamw()]) {
    const states = await Promise.all([optimizer, { ...optimizer, update: (...[p, gradient, state, step]: Parameters<typeof optimizer.update>) => optimizer.update(p, gradient, state, step) }].map(async (used) => {
      const trainer = await Trainer.open(wide.graph, options({ loss: wide.loss, groups: [{ names: ['wide', 'last'], optimizer: used, rate: 0.02, decay: 0.01 }] }));
      await fit(trainer, { ...training(6), accumulate: 2, feed: ({ feeds, labels: known }) => ({ ...feeds, ...wide.feed(known, undefined) }) });
      return trainer.state();
    }));
    assert.deepEqual(states[0], states[1]);
  }
});

test('two parameters that share a gradient are clipped once', async () => {
  const g = new GraphBuilder('sum', 21);
  const both = g.op('Add', [g.weight(floatTensor('a', [4], values(4, 1))), g.weight(floatTensor('b', [4], values(4, 2)))]);
  const product = g.op('Mul', [both, g.input('x', 'f32', [4])]);
  const loss = g.op('ReduceSum', [product, g.ints([0])], { keepdims: { kind: 'int', value: 0 } });
  g.output(loss, 'loss', 'f32', []);
  const trainer = await Trainer.open(g.graph(), { engine: ortNode, loss: 'loss', groups: [{ names: ['a', 'b'], optimizer: sgd(), rate: 1 }], clipNorm: 1 });
  const before = ['a', 'b'].map((name) => trainer.values(name).slice());
  await trainer.step({ x: f32([4], Float32Array.of(3, 4, 0, 0)) });
  // The norm of both gradients together is 5 · √2.
  const share = 1 / (5 * Math.SQRT2);
  ['a', 'b'].forEach((name, k) => [3, 4, 0, 0].forEach((slope, i) => assert.ok(Math.abs(before[k][i] - trainer.values(name)[i] - slope * share) < 1e-5)));
});

test('patience ends a run that no longer improves', async () => {
  const trainer = await Trainer.open(objective.graph, options({ groups: [{ names: ['b2'], optimizer: sgd(), rate: 0 }] }));
  const { stopped, evaluations } = await fit(trainer, { ...training(50), evaluateEvery: 5, patience: 2, evaluate: async () => 1 });
  assert.equal(stopped, true);
  assert.deepEqual(evaluations.map(({ step }) => step), [5, 10, 15]);
});

test('parameters that are missing, twice or without influence are named', async () => {
  const group = (names: readonly string[]) => options({ groups: [{ names, optimizer: sgd(), rate: 1 }] });
  await assert.rejects(Trainer.open(objective.graph, group(['w1', 'w1'])), { code: 'train.twice' });
  await assert.rejects(Trainer.open(objective.graph, group(['nothing'])), { code: 'gradient.noValue' });
  const withSpare = { ...objective.graph, weights: new Map([...objective.graph.weights, ['spare', floatTensor('spare', [2], new Float32Array(2))]]) };
  await assert.rejects(Trainer.open(withSpare, group(['spare'])), { code: 'gradient.unused' });
});

test('losses are those of their formulas', async () => {
  const logits = [[2, -1, 0.5], [0, 0.25, -3]];
  const teacher = [[1, 1, 0], [0.5, -0.5, 2]];
  const targets = [0, 2];
  const soft = (row: readonly number[], t = 1) => {
    const e = row.map((v) => Math.exp(v / t));
    return e.map((v) => v / e.reduce((a, b) => a + b));
  };
  const entropy = logits.reduce((sum, row, i) => sum - Math.log(soft(row)[targets[i]]), 0) / 2;
  const smooth = logits.reduce((sum, row) => sum - soft(row).reduce((s, p) => s + Math.log(p), 0) / 3, 0) / 2;
  const kl = 4 * logits.reduce((sum, row, i) => sum + soft(teacher[i], 2).reduce((s, p, k) => s + p * Math.log(p / soft(row, 2)[k]), 0), 0) / 2;
  const g = new GraphBuilder('losses', 21);
  g.input('a', 'f32', [2, 3]);
  g.input('b', 'f32', [2, 3]);
  g.input('labels', 'i64', [2]);
  const { graph, result } = extend(g.graph(), (tape) => [crossEntropy(tape, 'a', 'labels'), crossEntropy(tape, 'a', 'labels', { smoothing: 0.1 }), distillation(tape, 'a', 'b', 2)]);
  const session = await openGraph({ ...graph, outputs: result.map((name) => ({ name, type: 'f32' as const, shape: [] })) }, ortNode);
  const out = await session.run({ a: f32([2, 3], Float32Array.from(logits.flat())), b: f32([2, 3], Float32Array.from(teacher.flat())), labels: i64([2], targets) });
  const found = result.map((name) => (out[name].data as Float32Array)[0]);
  [entropy, 0.9 * entropy + 0.1 * smooth, kl].forEach((value, i) => assert.ok(Math.abs(found[i] - value) < 1e-6, `${found[i]}, expected ${value}`));
  await session.dispose();
});
