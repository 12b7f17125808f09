/** Data made from batch-normalization statistics: the loss, swing convolutions, the generator, the recipes that need no data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { bindDimensions } from '../../src/graph/bind.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { extend } from '../../src/graph/extend.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { outputSpecs } from '../../src/jobs/outputs.ts';
import { parseSettings } from '../../src/jobs/settings.ts';
import type { SourceModel } from '../../src/jobs/source.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { genie } from '../../src/recipes/genie.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { zeroq } from '../../src/recipes/zeroq.ts';
import { generateImages } from '../../src/train/generator-data.ts';
import { imageShape, statisticsDistance } from '../../src/train/statistics-loss.ts';
import { swingConvolutions } from '../../src/transform/swing-convolution.ts';

const filled = (name: string, shape: readonly number[], of: (i: number) => number) => floatTensor(name, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => of(i)));

/** Convolution of stride two, batch normalization, rectifier, pooled scores. */
function network({ normalised = true } = {}): Graph {
  const g = new GraphBuilder('tiny');
  const x = g.input('image', 'f32', ['n', 3, 8, 8]);
  let value = g.op('Conv', [x, g.weight(filled('conv', [4, 3, 3, 3], (i) => Math.sin(i)))], { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) });
  if (normalised) value = g.op('BatchNormalization', [value, g.weight(filled('scale', [4], () => 1)), g.weight(filled('shift', [4], () => 0.1)), g.weight(filled('mean', [4], (i) => i / 4)), g.weight(filled('variance', [4], () => 2))]);
  const pooled = g.op('Flatten', [g.op('GlobalAveragePool', [g.op('Relu', [value])])]);
  g.output(g.op('Gemm', [pooled, g.weight(filled('dense', [5, 4], (i) => Math.cos(i)))], { transB: int(1) }), 'scores', 'f32', ['n', 5]);
  return g.graph();
}

test('the distance of statistics has the value of the formula', async () => {
  const g = new GraphBuilder('distance');
  const x = g.weight(filled('x', [1, 1, 2, 2], (i) => i + 1));
  const { graph, result } = extend(g.graph(), (tape) => statisticsDistance(tape, x, tape.constant(2), tape.constant(Math.sqrt(1 + 1e-6)), { axes: [2, 3], factor: 1 }));
  const session = await ortNode.open({ bytes: await onnxBytes({ ...graph, outputs: [{ name: result, type: 'f32', shape: [] }] }) });
  const [found] = (await session.run({}))[result].data as Float32Array;
  await session.dispose();
  assert.ok(Math.abs(found - 0.3346777) < 2e-6, String(found));
});

test('a strided 1×1 convolution never looks at some pixels; swinging, it looks at all', async () => {
  const g = new GraphBuilder('strided');
  const x = g.input('x', 'f32', [1, 1, 6, 6]);
  g.output(g.op('Conv', [x, g.weight(filled('w', [1, 1, 1, 1], () => 1))], { strides: ints([2, 2]) }), 'y', 'f32', [1, 1, 3, 3]);
  const plain = await bindDimensions(g.graph(), {});
  const coverage = async (graph: Graph, feedsAt: (step: number) => object): Promise<number[]> => {
    const { graph: withSum, result: loss } = extend(graph, (tape) => tape.op('ReduceSum', [tape.op('Mul', ['y', 'y'])], { keepdims: int(0) }));
    const { graph: whole, gradients } = await gradient(withSum, loss, ['x']);
    const slope = gradients.get('x')!;
    const session = await ortNode.open({ bytes: await onnxBytes({ ...whole, outputs: [{ name: slope, type: 'f32', shape: undefined }] }) });
    const sums = new Array<number>(36).fill(0);
    for (let step = 0; step < 100; step++) {
      const found = (await session.run({ x: { type: 'f32', shape: [1, 1, 6, 6], data: new Float32Array(36).fill(1) }, ...feedsAt(step) }))[slope].data as Float32Array;
      found.forEach((value, i) => { sums[i] += Math.abs(value); });
    }
    await session.dispose();
    return sums;
  };
  const still = await coverage(plain, () => ({}));
  still.forEach((sum, i) => assert.equal(sum > 0, Math.floor(i / 6) % 2 === 0 && i % 2 === 0));
  const { graph, offsets } = swingConvolutions(plain);
  assert.ok((await coverage(graph, (step) => offsets(0, step))).every((sum) => sum > 0));
  // Offset 0 of three mirrors the second row to the outside, 1 leaves all in place.
  const seen = new Set(Array.from({ length: 30 }, (_, step) => Object.values(offsets(0, step)).map(({ data }) => [...(data as BigInt64Array)].join(' '))).flat());
  assert.deepEqual([...seen].sort(), ['0 1 2 3 4 5', '1 0 1 2 3 4', '1 2 3 4 5 4']);
});

test('a generator comes near the stored statistics, and the same seed gives the same images', async () => {
  const options = { engine: ortNode, count: 12, batch: 8, iterations: 40, widths: [8, 8] as const };
  const { images, losses } = await generateImages(network(), [3, 8, 8], options);
  assert.deepEqual(images.shape, [12, 3, 8, 8]);
  assert.ok(losses[39] < losses[0] / 4, `${losses[0]} to ${losses[39]}`);
  assert.deepEqual((await generateImages(network(), [3, 8, 8], options)).images.data, images.data);
});

test('recipes without data make their own, and refuse networks without batch normalization', async () => {
  const short = (recipe: Recipe): Recipe => ({
    ...recipe, steps: recipe.steps.map((step) => (step.step === 'distil' ? { ...step, count: 8, iterations: 5 } : step.step === 'reconstruct' ? { ...step, iterations: 10 } : step)),
  });
  for (const recipe of [zeroq, genie]) {
    const applied = await applyRecipe(short(recipe), network(), { engine: ortNode, formatOf: () => parseFormat('int4/channel'), activationValues: () => ['image'] });
    assert.deepEqual([...applied.weights.keys()].length, 2);
    assert.ok(applied.ranges.get('image')!.high > 0);
    assert.equal([...applied.batches!() as Iterable<object>].length, 1);
    assert.ok(applied.graph.nodes.every(({ op }) => op !== 'BatchNormalization'));
  }
  const model = (graph: Graph) => ({ name: 'tiny', kind: 'onnx', lowBit: [], graph }) as unknown as SourceModel;
  const settings = parseSettings({ model: 'tiny.onnx', output: '.', bits: [8], recipe: 'zeroq' });
  assert.equal(outputSpecs(model(network()), settings)[0].scheme.activations, 'static');
  assert.throws(() => outputSpecs(model(network({ normalised: false })), settings), /tiny has no batch normalization to make data from/);
  assert.throws(() => imageShape({ ...network(), inputs: [{ name: 'image', type: 'f32', shape: ['n', 3, 'h', 'w'] }] }), /no image of known size/);
});
