import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64, type Tensor } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { readFloats } from '../../src/graph/values.ts';
import { normal } from '../../src/numeric/random.ts';
import { arrayDataset } from '../../src/observe/data/index.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { accuracyOf } from '../../src/reproductions/data/accuracy.ts';
import { adaptBits, atBits } from '../../src/train/adaptive-bits.ts';
import { fitAdaptive } from '../../src/train/adaptive-fit.ts';
import { composites } from '../../src/train/composites/index.ts';
import { classification } from '../../src/train/objective.ts';
import { adam, lazy } from '../../src/train/optimizers.ts';

const batch = 32;
/** Two classes: which half of the image is brighter. */
const labels = Array.from({ length: 128 }, (_, i) => i % 2);
const images: Tensor = {
  type: 'f32', shape: [128, 1, 4, 4],
  data: Float32Array.from({ length: 128 * 16 }, (_, i) => Math.abs(normal(5, 0, i)) + (Math.floor((i % 16) / 8) === labels[Math.floor(i / 16)] ? 1.5 : 0)),
};

async function network(count: number | string) {
  const g = new GraphBuilder('halves', 21);
  const weight = (name: string, shape: number[], of: (i: number) => number): string => g.weight(floatTensor(name, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => of(i))));
  const y = g.op('Conv', [g.input('input', 'f32', [count, 1, 4, 4]), weight('w', [8, 1, 3, 3], (i) => 0.4 * normal(2, 0, i))], { pads: ints([1, 1, 1, 1]) });
  const norm = ['gamma', 'beta', 'mean', 'variance'].map((name, part) => weight(name, [8], () => (part === 0 || part === 3 ? 1 : 0)));
  const z = g.op('Flatten', [g.op('Relu', [g.op('BatchNormalization', [y, ...norm])])]);
  g.output(g.op('Gemm', [z, weight('v', [2, 128], (i) => 0.1 * normal(3, 0, i))], { transB: int(1) }), 'logits', 'f32', [count, 2]);
  return inferTypes(g.graph());
}

test('a network learns two classes at 8, 4 and 3 bits at once; each width keeps statistics of its own', async () => {
  const widths = [8, 4, 3];
  const bound = await network(batch);
  const options = { widths, rule: 'round', isChosen: () => true, meanOf: () => 1 } as const;
  const objective = (graph: Parameters<typeof classification>[0]) => classification(graph, { logits: 'logits' });
  const { feed } = objective(bound);
  const data = arrayDataset('halves', new Map([['input', images]]), i64([128], labels));
  const fitted = await fitAdaptive(await adaptBits(bound, options), bound, {
    engine: ortNode, widths, objective, data, batch, batches: 40, rate: 1e-2, scaleRates: 'width', seed: 1,
    feed: (one) => ({ ...one.feeds, ...feed(one.labels, undefined) }),
  });
  const open = await adaptBits(await network('n'), options);
  const weights = new Map([...open.graph.weights].map(([name, own]) => [name, fitted.graph.weights.get(name) ?? own]));
  for (const width of widths) {
    const right = await accuracyOf(lower(atBits({ ...open.graph, weights }, [width, width]), composites), ortNode, data);
    assert.ok(right > 85, `${right} % at ${width} bits`);
  }
  const means = await readFloats(fitted.graph.weights.get('mean/widths')!);
  assert.notDeepEqual(means.subarray(0, 8), means.subarray(16, 24));
});

test('inputs below zero have codes of their own where they are said to occur', async () => {
  const g = new GraphBuilder('product', 21);
  const values = Float32Array.from({ length: 64 }, (_, i) => normal(7, 0, i));
  g.output(g.op('MatMul', [g.input('input', 'f32', [4, 8]), g.weight(floatTensor('w', [8, 8], values))]), 'y', 'f32', [4, 8]);
  const input: Tensor = { type: 'f32', shape: [4, 8], data: Float32Array.from({ length: 32 }, (_, i) => normal(8, 0, i)) };
  const run = async (graph: Parameters<typeof openGraph>[0]): Promise<Float32Array> => {
    const session = await openGraph(graph, ortNode);
    const { y } = await session.run({ input });
    await session.dispose();
    return y.data as Float32Array;
  };
  const float = await run(g.graph());
  const energy = float.reduce((sum, v) => sum + v ** 2, 0);
  const errorAt = async (isSigned: boolean): Promise<number> => {
    const { graph } = await adaptBits(await inferTypes(g.graph()), { widths: [8, 4], rule: 'round', isChosen: () => true, meanOf: () => 0.8, isSigned: () => isSigned });
    return (await run(lower(atBits(graph, [8]), composites))).reduce((sum, v, i) => sum + (v - float[i]) ** 2, 0) / energy;
  };
  assert.ok(await errorAt(true) < 1e-3);
  assert.ok(await errorAt(false) > 0.1);
});

test('a lazy optimizer leaves what received no gradient as it is', () => {
  const [plain, skipping] = [Float32Array.of(1, 1), Float32Array.of(1, 1)];
  const states = [0, 1].map(() => [new Float32Array(2), new Float32Array(2)]);
  for (const [step, gradient] of [[1, [1, 2]], [2, [0, 2]]] as const) {
    adam().update(plain, Float32Array.from(gradient), states[0], { rate: 0.1, decay: 0, step });
    lazy(adam()).update(skipping, Float32Array.from(gradient), states[1], { rate: 0.1, decay: 0, step });
  }
  assert.ok(Math.abs(skipping[0] - 0.9) < 1e-6);
  assert.ok(plain[0] < 0.9);
  assert.equal(skipping[1], plain[1]);
});
