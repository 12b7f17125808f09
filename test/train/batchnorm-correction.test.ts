import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, float } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import { inferTypes } from '../../src/graph/infer.ts';
import { withOutputs } from '../../src/graph/outputs.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { quantizeFolded, type Folding } from '../../src/train/batchnorm-correction.ts';
import { composites } from '../../src/train/composites/index.ts';

/** Products 2x of a batch with mean 0.3 and deviation 0.6, the first of them 2. */
const spread = Math.sqrt((0.5 - 1 / 9) / 8);
const products = [2, ...[-1, 1, -1, 1, -1, 1, -1, 1, 0].map((sign) => 1 / 9 + sign * spread)];

async function convolution() {
  const g = new GraphBuilder('norm', 21);
  const one = (name: string, value: number): string => g.weight(floatTensor(name, [1], Float32Array.of(value)));
  const x = g.input('x', 'f32', [products.length, 1, 1, 1]);
  const y = g.op('Conv', [x, g.weight(floatTensor('w', [1, 1, 1, 1], Float32Array.of(2)))]);
  g.output(g.op('BatchNormalization', [y, one('gamma', 1.5), one('beta', 0.1), one('mean', 0.2), one('variance', 0.25)], { epsilon: float(0) }), 'y', 'f32', [products.length, 1, 1, 1]);
  return inferTypes(g.graph());
}

async function run(folding: Folding, weightBits?: number) {
  const made = quantizeFolded(await convolution(), { folding, weightBits: () => weightBits, activationBits: 8, ranges: new Map(), momentum: 0.9 });
  const quantized = [...made.quantized.values()];
  const graph = lower(await withOutputs(made.graph, [...made.carry.values(), ...quantized]), composites);
  const session = await openGraph(graph, ortNode);
  try {
    const results = await session.run({ x: { type: 'f32', shape: [products.length, 1, 1, 1], data: Float32Array.from(products, (y) => y / 2) } });
    const first = (name: string): number => (results[name].data as Float32Array)[0];
    return { y: first('y'), carried: [...made.carry.values()].map(first), weight: quantized.map(first)[0], named: [...made.carry.keys()] };
  } finally {
    await session.dispose();
  }
}

const near = (found: number, expected: number): void => assert.ok(Math.abs(found - expected) < 1e-5, `${found} against ${expected}`);

test('before freezing, a layer folded by long-term statistics is batch normalization by those of the batch', async () => {
  near((await run('corrected')).y, 1.5 * (2 - 0.3) / 0.6 + 0.1);
});

test('the batch moves the long-term statistics', async () => {
  const { named, carried } = await run('corrected');
  assert.deepEqual(named, ['mean', 'variance']);
  near(carried[0], 0.9 * 0.2 + 0.1 * 0.3);
  near(carried[1], 0.9 * 0.25 + 0.1 * 0.36);
});

test('frozen, a layer is batch normalization by long-term statistics, and nothing moves', async () => {
  const { y, named } = await run('frozen');
  near(y, 1.5 * (2 - 0.2) / 0.5 + 0.1);
  assert.deepEqual(named, []);
});

test('what is quantized is γW/σ: 6 by long-term statistics, 5 by those of the batch', async () => {
  near((await run('corrected', 8)).weight, 6);
  near((await run('frozen', 8)).weight, 6);
  near((await run('batch', 8)).weight, 5);
  near((await run('batch')).y, 1.5 * (2 - 0.3) / 0.6 + 0.1);
});
