/** A few training steps of a small network with batch normalization and learned quantization steps: the same in any engine. */
import type { Engine, SessionOptions } from '../../src/engine/session.ts';
import { f32, i64 } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { trainBatchNorm } from '../../src/graph/train-batchnorm.ts';
import { normal } from '../../src/numeric/random.ts';
import { classification } from '../../src/train/objective.ts';
import { sgd } from '../../src/train/optimizers.ts';
import { trainableWeights } from '../../src/train/parameters.ts';
import { insertFakeQuantize } from '../../src/train/quantization-aware.ts';
import { Trainer } from '../../src/train/trainer.ts';

const [batch, classes] = [8, 3];
const values = (count: number, stream: number, scale = 1) => Float32Array.from({ length: count }, (_, i) => scale * normal(7, stream, i));

function network(pool: 'MaxPool' | 'AveragePool'): Graph {
  const g = new GraphBuilder('small', 21);
  const weight = (name: string, shape: readonly number[], stream: number, scale: number): string =>
    g.weight(floatTensor(name, shape, values(shape.reduce((a, b) => a * b, 1), stream, scale)));
  const filled = (name: string, count: number, value: number): string => g.weight(floatTensor(name, [count], new Float32Array(count).fill(value)));
  const x = g.input('x', 'f32', [batch, 1, 12, 12]);
  const first = g.op('Conv', [x, weight('w1', [8, 1, 3, 3], 1, 0.4)], { pads: ints([1, 1, 1, 1]) });
  const normal = g.op('BatchNormalization', [first, filled('gain', 8, 1), filled('shift', 8, 0), filled('mean', 8, 0), filled('variance', 8, 1)]);
  const second = g.op('Relu', [g.op('Conv', [g.op('Relu', [normal]), weight('w2', [8, 8, 3, 3], 2, 0.2), filled('b2', 8, 0)], { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) })]);
  const pooled = g.op('Reshape', [g.op(pool, [second], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }), g.ints([batch, 72])]);
  g.output(g.op('Gemm', [pooled, weight('w3', [72, classes], 3, 0.1), filled('b3', classes, 0)]), 'logits', 'f32', [batch, classes]);
  return g.graph();
}

export interface TrainingCase {
  readonly steps: number;
  /** Bits of weights and activations; absent trains in float. */
  readonly bits?: number;
  readonly pool: 'MaxPool' | 'AveragePool';
}

/** Losses of the steps of a case. */
export async function losses(engine: Engine, { steps, bits, pool }: TrainingCase, session: SessionOptions = {}): Promise<number[]> {
  const forward = network(pool);
  const { graph: aware, scales } = await insertFakeQuantize(forward, () => ({ weight: bits, activation: bits }), (site) => ({ meanAbsolute: 0.7, min: site.input === 'x' ? -1 : 0 }));
  const objective = classification(aware, { logits: 'logits' });
  const { graph, carry } = await trainBatchNorm(objective.graph, { chosen: () => true });
  const { matrices, others } = trainableWeights(forward);
  const trainer = await Trainer.open(graph, {
    engine, session, loss: objective.loss, groups: [{ names: [...matrices, ...others, ...scales], optimizer: sgd({ momentum: 0.9 }), rate: 0.05 }],
    carry,
  });
  const feeds = { x: f32([batch, 1, 12, 12], values(batch * 144, 9)), labels: i64([batch], Array.from({ length: batch }, (_, i) => i % classes)) };
  const found: number[] = [];
  for (let step = 0; step < steps; step++) found.push((await trainer.step(feeds)).loss);
  await trainer.dispose();
  return found;
}
