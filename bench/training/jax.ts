/** Steps of the same models in jax-js (WebAssembly, one thread): the speed that JavaScript has otherwise. */
import { defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad, type Array as JaxArray } from '@jax-js/jax';
import { normal } from '../../src/numeric/random.ts';

type Arrays = Record<string, JaxArray>;
type Step = () => Promise<void>;

const random = (shape: readonly number[], stream: number, scale = 1): JaxArray =>
  np.array(Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => scale * normal(1, stream, i)) as never).reshape([...shape]);
const oneHot = (rows: number, classes: number): JaxArray =>
  np.array(Float32Array.from({ length: rows * classes }, (_, i) => (i % classes === Math.floor(i / classes) % classes ? 1 : 0)) as never).reshape([rows, classes]);

function step(params: Arrays, loss: (params: Arrays) => JaxArray): Step {
  const whole = jit(valueAndGrad(loss as never) as never) as unknown as (params: Arrays) => [JaxArray, Arrays];
  let current = params;
  return async () => {
    const kept = Object.fromEntries(Object.entries(current).map(([name, value]) => [name, value.ref]));
    const [value, gradients] = whole(kept);
    current = Object.fromEntries(Object.entries(current).map(([name, parameter]) => [name, parameter.sub(gradients[name].mul(0.01))]));
    await value.data();
    for (const parameter of Object.values(current)) await parameter.ref.data();
  };
}

const crossEntropy = (logits: JaxArray, labels: JaxArray, rows: number): JaxArray => np.sum(nn.logSoftmax(logits).mul(labels)).mul(-1 / rows);

const makers: Readonly<Record<string, () => Step>> = {
  mlp() {
    const [x, labels] = [random([128, 784], 99), oneHot(128, 10)];
    return step({ w1: random([784, 512], 1, 1 / 28), b1: np.zeros([512]), w2: random([512, 10], 2, 0.044), b2: np.zeros([10]) }, ({ w1, b1, w2, b2 }) =>
      crossEntropy(np.matmul(nn.relu(np.matmul(x.ref, w1).add(b1)), w2).add(b2), labels.ref, 128));
  },
  cnn() {
    const [x, labels] = [random([32, 1, 28, 28], 99), oneHot(32, 10)];
    const pad: [number, number][] = [[1, 1], [1, 1]];
    return step({ w1: random([16, 1, 3, 3], 1, 0.47), w2: random([32, 16, 3, 3], 2, 0.118), w3: random([6272, 10], 3, 0.0126) }, ({ w1, w2, w3 }) => {
      const first = nn.relu(lax.convGeneralDilated(x.ref, w1, [1, 1], pad));
      const second = nn.relu(lax.convGeneralDilated(first, w2, [2, 2], pad));
      return crossEntropy(np.matmul(second.reshape([32, 6272]), w3), labels.ref, 32);
    });
  },
  transformer() {
    const [batch, length, width, heads, inner, vocabulary] = [8, 64, 128, 4, 512, 256];
    const size = width / heads;
    const ids = np.array(Float32Array.from({ length: batch * length * vocabulary }, (_, i) => (i % vocabulary === Math.floor(i / vocabulary) % vocabulary ? 1 : 0)) as never).reshape([batch * length, vocabulary]);
    const labels = oneHot(batch * length, vocabulary);
    const mask = np.array(Float32Array.from({ length: length ** 2 }, (_, i) => (i % length > Math.floor(i / length) ? -1e4 : 0)) as never).reshape([length, length]);
    const params: Arrays = { table: random([vocabulary, width], 1, 0.02), head: random([width, vocabulary], 2, 0.088) };
    for (let l = 0; l < 4; l++) Object.assign(params, {
      [`qkv${l}`]: random([width, 3 * width], 10 + l, 0.088), [`out${l}`]: random([width, width], 20 + l, 0.088),
      [`up${l}`]: random([width, inner], 30 + l, 0.088), [`down${l}`]: random([inner, width], 40 + l, 0.044),
      [`s${l}`]: np.ones([width]), [`t${l}`]: np.ones([width]),
    });
    const norm = (x: JaxArray, gain: JaxArray): JaxArray => {
      const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
      const deviation = np.sqrt(np.mean(np.square(centred.ref), -1, { keepdims: true }).add(1e-5));
      return centred.div(deviation).mul(gain);
    };
    return step(params, (p) => {
      let x = np.matmul(ids.ref, p.table);
      for (let l = 0; l < 4; l++) {
        const qkv = np.matmul(norm(x.ref, p[`s${l}`]), p[`qkv${l}`]).reshape([batch, length, 3, heads, size]).transpose([2, 0, 3, 1, 4]);
        const [q, k, v] = [0, 1, 2].map((i) => qkv.ref.slice(i));
        qkv.dispose();
        const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(size)).add(mask.ref);
        const mixed = np.matmul(nn.softmax(scores), v).transpose([0, 2, 1, 3]).reshape([batch * length, width]);
        x = x.add(np.matmul(mixed, p[`out${l}`]));
        x = x.ref.add(np.matmul(nn.gelu(np.matmul(norm(x, p[`t${l}`]), p[`up${l}`])), p[`down${l}`]));
      }
      return crossEntropy(np.matmul(x, p.head), labels.ref, batch * length);
    });
  },
};

/** A step by model name; undefined where jax-js is not asked. */
export async function jaxSteps(): Promise<(name: string) => Step | undefined> {
  await init('wasm');
  defaultDevice('wasm');
  return (name) => makers[name]?.();
}
