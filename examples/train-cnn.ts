/**
 * A small convolutional network from nothing: keyword spotting on 800 recordings, judged on the other 200, and written as
 * ONNX: node --import tsx examples/train-cnn.ts [folder] [epochs]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ortNode } from '../src/engine/ort-node.ts';
import { onnxBytes } from '../src/files/onnx.ts';
import { floatTensor } from '../src/tensor-ref.ts';
import { bindDimensions } from '../src/graph/bind.ts';
import { GraphBuilder, int, ints } from '../src/graph/build.ts';
import type { Graph } from '../src/graph/graph.ts';
import { withWeightsOf } from '../src/graph/rewrite.ts';
import { normal } from '../src/numeric/random.ts';
import { arrayDataset, readNpy, splitDataset } from '../src/observe/data/index.ts';
import { accuracyOf } from '../src/reproductions/data/accuracy.ts';
import { adamw, classification, cosine, fit, trainableWeights, trainBatchNorm, Trainer } from '../src/train/index.ts';
import { progress } from './shared/progress.ts';

const [folder = 'out/train-cnn', epochs = '30'] = process.argv.slice(2);
const asset = (name: string): string => fileURLToPath(new URL(`../assets/kws-dscnn/${name}`, import.meta.url));
const [seed, batch, classes] = [0, 50, 12];

/** Convolution, batch normalization and ReLU, three times; mean over the map; a linear layer. */
function network(): Graph {
  const g = new GraphBuilder('keywords', 21);
  let stream = 0;
  const kernel = (shape: readonly number[]): string => {
    const fan = shape.slice(1).reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: shape[0] * fan }, (_, i) => Math.sqrt(2 / fan) * normal(seed, stream, i));
    return g.weight(floatTensor(`kernel${++stream}`, shape, values));
  };
  const filled = (name: string, count: number, value: number): string => g.weight(floatTensor(`${name}${stream}`, [count], new Float32Array(count).fill(value)));
  const layer = (x: string, from: number, to: number, size: number, stride: number): string => {
    const y = g.op('Conv', [x, kernel([to, from, size, size])], { auto_pad: { kind: 'string', value: 'SAME_UPPER' }, strides: ints([stride, stride]) });
    return g.op('Relu', [g.op('BatchNormalization', [y, filled('gain', to, 1), filled('shift', to, 0), filled('mean', to, 0), filled('variance', to, 1)])]);
  };
  let x = g.input('input', 'f32', ['n', 1, 49, 10]);
  x = layer(layer(layer(x, 1, 32, 5, 2), 32, 48, 3, 1), 48, 64, 3, 2);
  const pooled = g.op('ReduceMean', [x, g.ints([2, 3])], { keepdims: int(0) });
  g.output(g.op('Gemm', [pooled, kernel([classes, 64]), filled('bias', classes, 0)], { transB: int(1) }), 'logits', 'f32', ['n', classes]);
  return g.graph();
}

const data = arrayDataset('keywords', new Map([['input', readNpy(readFileSync(asset('inputs.npy')), 'inputs.npy')]]), readNpy(readFileSync(asset('labels.npy')), 'labels.npy'));
const { calibration: learned, evaluation: judged } = splitDataset(data, { calibration: 800, seed });
const forward = network();
const objective = classification(await bindDimensions(forward, { n: batch }), { logits: 'logits' });
const { graph, carry } = await trainBatchNorm(objective.graph, { chosen: () => true });
const { matrices, others } = trainableWeights(forward);
const steps = Number(epochs) * Math.floor(learned.count / batch);
const trainer = await Trainer.open(graph, {
  engine: ortNode, loss: objective.loss, session: { threads: 2 },
  groups: [
    { names: matrices, optimizer: adamw(), rate: 3e-3, schedule: cosine(steps), decay: 0.05 },
    { names: others, optimizer: adamw(), rate: 3e-3, schedule: cosine(steps) },
  ],
  carry,
});
const { onStep, seconds } = progress(steps);
const { losses } = await fit(trainer, {
  data: learned, batch, steps, seed, onStep,
  feed: ({ feeds, labels }) => ({ ...feeds, ...objective.feed(labels, undefined) }),
});
const trained = withWeightsOf(forward, trainer.graph());
console.log(`loss ${losses[0].toFixed(3)} to ${losses.at(-1)!.toFixed(3)} in ${seconds()}; ${(await accuracyOf(trained, ortNode, judged)).toFixed(1)} % of ${judged.count} recordings that it did not learn from`);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'keywords.onnx'), await onnxBytes(trained));
console.log(`written: ${join(folder, 'keywords.onnx')}`);
await trainer.dispose();
