import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executeIntegers } from '../../src/engine/integer/execute.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { exportIntegerOnly, integerValues } from '../../src/export/onnx-integer.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, ints } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { hawqv3, hawqv3Int8 } from '../../src/recipes/hawqv3.ts';
import { findRecipe } from '../../src/recipes/registry.ts';
import { differences } from '../../src/reproductions/integer-agreement.ts';
import { floatTensor } from '../../src/tensor-ref.ts';

const random = (seed: number, shape: readonly number[], scale = 1): Float32Array => Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => normal(seed, 0, i) * scale);
const feeds = { x: f32([8, 3, 8, 8], random(1, [8, 3, 8, 8])) };

/** Convolutions with batch normalization, two of which read the same value, and a classifier. */
function network(): Graph {
  const g = new GraphBuilder('network', 21);
  let seed = 10;
  const conv = (x: string, rows: number, cols: number): string => {
    seed++;
    const made = g.op('Conv', [x, g.weight(floatTensor(`w${seed}`, [rows, cols, 3, 3], random(seed, [rows, cols, 3, 3], 0.2)))], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) });
    const norm = (name: string, value: (i: number) => number): string => g.weight(floatTensor(name, [rows], Float32Array.from({ length: rows }, (_, i) => value(i))));
    return g.op('BatchNormalization', [made, norm('gamma', (i) => 1 + i / 20), norm('beta', (i) => (i % 3) / 5), norm('mean', (i) => i / 50), norm('variance', (i) => 1 + i / 10)]);
  };
  const x = g.input('x', 'f32', ['batch', 3, 8, 8]);
  const first = g.op('Relu', [conv(x, 12, 3)]);
  const sum = g.op('Relu', [g.op('Add', [conv(first, 12, 12), conv(first, 12, 12)])]);
  const last = g.op('Relu', [conv(g.op('Relu', [conv(sum, 16, 12)]), 16, 16)]);
  g.output(g.op('MatMul', [g.op('Flatten', [g.op('GlobalAveragePool', [last])]), g.weight(floatTensor('classes', [16, 5], random(99, [16, 5])))]), 'scores', 'f32', ['batch', 5]);
  return g.graph();
}

const applied = (recipe: typeof hawqv3) => applyRecipe(recipe, network(), {
  engine: ortNode, batches: () => [feeds], formatOf: () => parseFormat('int8/channel'), activationValues: integerValues,
});

test('layers take 4 or 8 bits for half of the size, the ends 8, and those that read one value the same', async () => {
  const { formats, weights, notes, integerOnly, graph } = await applied(hawqv3);
  assert.equal(integerOnly, true);
  const sites = linearSites(graph);
  const bits = sites.map(({ id }) => weights.get(id)!.format.bits);
  assert.deepEqual([bits[0], bits.at(-1)], [8, 8]);
  assert.equal(bits[1], bits[2]);
  assert.ok(bits.includes(4) && formats.get(sites[0].id)!.name === 'int8/channel');
  const size = (widths: readonly number[]): number => sites.reduce((sum, { rows, cols }, i) => sum + rows * cols * widths[i], 0);
  const narrow = size(bits.map((_, i) => (i === 0 || i === bits.length - 1 ? 8 : 4)));
  assert.ok(size(bits) <= narrow + 0.5 * (size(bits.map(() => 8)) - narrow));
  assert.match(notes.join('\n'), /formats by the trace of the Hessian, 50 % of what size can take/);
});

test('a budget of bit operations counts the products of each layer', async () => {
  const steps = hawqv3.steps.map((step) => (step.step === 'allocate-by-trace' ? { ...step, budget: 'bops' as const, share: 0.5 } : step));
  const { weights, graph } = await applied({ ...hawqv3, steps });
  const sites = linearSites(graph);
  // Every convolution has 64 positions, the classifier one.
  const operations = (bitsOf: (id: string, i: number) => number): number => sites.reduce((sum, { id, rows, cols }, i) => sum + rows * cols * (i === sites.length - 1 ? 1 : 64) * bitsOf(id, i), 0);
  const narrow = operations((_, i) => (i === 0 || i === sites.length - 1 ? 8 : 4));
  const chosen = operations((id) => weights.get(id)!.format.bits);
  assert.ok(chosen <= narrow + 0.5 * (operations(() => 8) - narrow));
  assert.ok(sites.some(({ id }, i) => i > 0 && i < sites.length - 1 && weights.get(id)!.format.bits === 8));
});

test('what the recipes leave is written as integers that ONNX Runtime computes like the executor', async () => {
  for (const recipe of [hawqv3, hawqv3Int8]) {
    const { graph, weights, ranges } = await applied(recipe);
    const { graph: written, network: integers } = await exportIntegerOnly(graph, { weights, ranges });
    const ours = await executeIntegers(integers, feeds);
    const last = integers.ops.findLast(({ op }) => op === 'products') as { readonly output: string };
    const session = await openGraph({ ...written, outputs: [{ name: last.output, type: 'f32', shape: undefined }] }, ortNode);
    const found = await session.run(feeds);
    await session.dispose();
    assert.equal(differences(ours.get(last.output)!.data, found[last.output].data), 0);
  }
});

test('integers alone cannot stand with rotations between layers', () => {
  assert.throws(() => findRecipe('rotate+hawqv3-int8'), /integer-only cannot stand with rotate: rotations between layers have no integer form/);
});
