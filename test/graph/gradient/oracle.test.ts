/** Gradients of whole small models against jax-js, a differentiator that shares no code with this project. */
import { before, test } from 'node:test';
import { defaultDevice, grad, init, lax, nn, numpy as np, type Array as JaxArray } from '@jax-js/jax';
import { floatTensor } from '../../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../../src/graph/build.ts';
import { assertClose, gradients } from './check.ts';
import { Random } from './random.ts';

type Shapes = Readonly<Record<string, readonly number[]>>;
type Arrays = Record<string, JaxArray>;

before(async () => {
  await init('cpu', 'wasm');
  defaultDevice('wasm');
});

const oneHot = (rows: number, classes: number): Float32Array => Float32Array.from({ length: rows * classes }, (_, i) => (i % classes === (Math.floor(i / classes) * 5 + 1) % classes ? 1 : 0));

/** Mean cross-entropy of logits [rows, classes] against one-hot labels, in both languages. */
const crossEntropy = (g: GraphBuilder, logits: string, labels: Float32Array, shape: readonly number[]): string => {
  const picked = g.op('Mul', [g.op('LogSoftmax', [logits]), g.weight(floatTensor('labels', shape, labels))]);
  return g.output(g.op('Mul', [g.op('ReduceSum', [picked], { keepdims: int(0) }), g.floats(-1 / shape[0])]), 'loss');
};
const jaxCrossEntropy = (logits: JaxArray, labels: Float32Array, shape: readonly number[]): JaxArray =>
  np.sum(nn.logSoftmax(logits).mul(np.array(labels as never).reshape([...shape]))).mul(-1 / shape[0]);

/** Same seeded parameters in both; every gradient within 1e-4 of the largest entry. */
async function compare(shapes: Shapes, build: (g: GraphBuilder) => void, loss: (p: Arrays) => JaxArray): Promise<void> {
  const g = new GraphBuilder('model', 21);
  const random = new Random(3);
  const values = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, random.floats(shape.reduce((a, b) => a * b, 1), 0.6)]));
  for (const [name, shape] of Object.entries(shapes)) g.input(name, 'f32', shape);
  build(g);
  const names = Object.keys(shapes);
  const feeds = Object.fromEntries(names.map((name) => [name, { type: 'f32' as const, shape: shapes[name], data: Float64Array.from(values[name]) }]));
  const { exact, engine } = await gradients(g.graph(), 'loss', names, feeds);
  const params = Object.fromEntries(names.map((name) => [name, np.array(values[name] as never).reshape([...shapes[name]])]));
  const theirs = (grad as unknown as (f: (p: Arrays) => JaxArray) => (p: Arrays) => Arrays)(loss)(params);
  for (const name of names) {
    const wanted = await theirs[name].data();
    assertClose(exact.get(name)!.data, wanted as Float32Array, 1e-4, `interpreter, ${name}`);
    assertClose(engine!.get(name)!.data, wanted as Float32Array, 1e-4, `engine, ${name}`);
  }
}

test('a perceptron with softmax cross-entropy has the gradients of jax-js', () => {
  const labels = oneHot(8, 5);
  return compare({ x: [8, 6], w1: [6, 7], b1: [7], w2: [7, 5], b2: [5] }, (g) => {
    const hidden = g.op('Tanh', [g.op('Add', [g.op('MatMul', ['x', 'w1']), 'b1'])]);
    crossEntropy(g, g.op('Gemm', [hidden, 'w2', 'b2']), labels, [8, 5]);
  }, ({ x, w1, b1, w2, b2 }) => jaxCrossEntropy(np.matmul(np.tanh(np.matmul(x, w1).add(b1)), w2).add(b2), labels, [8, 5]));
});

test('a small convolutional network has the gradients of jax-js', () => {
  const labels = oneHot(3, 4);
  return compare({ x: [3, 2, 8, 8], w1: [6, 2, 3, 3], b1: [6], w2: [8, 6, 3, 3], w3: [8, 1, 3, 3], w4: [8, 4] }, (g) => {
    const first = g.op('Relu', [g.op('Conv', ['x', 'w1', 'b1'], { pads: ints([1, 1, 1, 1]) })]);
    const second = g.op('Softplus', [g.op('Conv', [first, 'w2'], { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) })]);
    const depthwise = g.op('Tanh', [g.op('Conv', [second, 'w3'], { pads: ints([1, 1, 1, 1]), group: int(8) })]);
    const pooled = g.op('Flatten', [g.op('GlobalAveragePool', [depthwise])]);
    crossEntropy(g, g.op('MatMul', [pooled, 'w4']), labels, [3, 4]);
  }, ({ x, w1, b1, w2, w3, w4 }) => {
    const pad: [number, number][] = [[1, 1], [1, 1]];
    const first = nn.relu(lax.convGeneralDilated(x, w1, [1, 1], pad).add(b1.reshape([1, 6, 1, 1])));
    const second = nn.softplus(lax.convGeneralDilated(first, w2, [2, 2], pad));
    const depthwise = np.tanh(lax.convGeneralDilated(second, w3, [1, 1], pad, { featureGroupCount: 8 }));
    return jaxCrossEntropy(np.matmul(np.mean(depthwise, [2, 3]), w4), labels, [3, 4]);
  });
});

test('causal attention with layer normalisation has the gradients of jax-js', () => {
  const [batch, length, width, heads] = [2, 5, 8, 2];
  const size = width / heads;
  const labels = oneHot(batch * length, 6);
  const mask = Float32Array.from({ length: length * length }, (_, i) => (i % length > Math.floor(i / length) ? -1e4 : 0));
  return compare({ x: [batch, length, width], scale: [width], bias: [width], wq: [width, width], wk: [width, width], wv: [width, width], wo: [width, 6] }, (g) => {
    const normal = g.op('LayerNormalization', ['x', 'scale', 'bias']);
    const [q, k, v] = ['wq', 'wk', 'wv'].map((w) => g.op('Transpose', [g.op('Reshape', [g.op('MatMul', [normal, w]), g.ints([batch, length, heads, size])])], { perm: ints([0, 2, 1, 3]) }));
    const scores = g.op('Mul', [g.op('MatMul', [q, g.op('Transpose', [k], { perm: ints([0, 1, 3, 2]) })]), g.floats(1 / Math.sqrt(size))]);
    const weights = g.op('Softmax', [g.op('Add', [scores, g.weight(floatTensor('mask', [length, length], mask))])]);
    const mixed = g.op('Reshape', [g.op('Transpose', [g.op('MatMul', [weights, v])], { perm: ints([0, 2, 1, 3]) }), g.ints([batch, length, width])]);
    const out = g.op('Reshape', [g.op('MatMul', [g.op('Add', [mixed, 'x']), 'wo']), g.ints([batch * length, 6])]);
    crossEntropy(g, out, labels, [batch * length, 6]);
  }, ({ x, scale, bias, wq, wk, wv, wo }) => {
    const centred = x.ref.sub(np.mean(x.ref, -1, { keepdims: true }));
    const deviation = np.sqrt(np.mean(np.square(centred.ref), -1, { keepdims: true }).add(1e-5));
    const normal = centred.div(deviation).mul(scale).add(bias);
    const split = (w: JaxArray): JaxArray => np.matmul(normal.ref, w).reshape([batch, length, heads, size]).transpose([0, 2, 1, 3]);
    const [q, k, v] = [split(wq), split(wk), split(wv)];
    const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(size)).add(np.array(mask as never).reshape([length, length]));
    const mixed = np.matmul(nn.softmax(scores), v).transpose([0, 2, 1, 3]).reshape([batch, length, width]);
    return jaxCrossEntropy(np.matmul(mixed.add(x), wo).reshape([batch * length, 6]), labels, [batch * length, 6]);
  });
});
