/** Steps of the diffusion recipes on a small network: what is protected stays, balancing never loses, bits keep their mean. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import type { Recipe, Step } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { simulateQuantized } from '../../src/train/quantize-inputs.ts';

const width = 16;
const values = (stream: number, count: number, scale: (i: number) => number = () => 1): Float32Array => Float32Array.from({ length: count }, (_, i) => normal(5, stream, i) * scale(i));

/** embed → attn → mlp → mlp → last, channel 3 of the first activation forty times as large as the others. */
function network() {
  const g = new GraphBuilder('network', 21);
  const layer = (x: string, name: string, stream: number, scale?: (i: number) => number): string =>
    g.op('MatMul', [x, g.weight(floatTensor(name, [width, width], values(stream, width * width, scale).map((v) => v / 4)))]);
  const x = g.input('x', 'f32', ['N', width]);
  const first = layer(x, 'embed.weight', 1, (i) => (i % width === 3 ? 40 : 1));
  const second = g.op('Tanh', [layer(first, 'block.attn.weight', 2, (i) => (Math.floor(i / width) === 3 ? 1 / 40 : 1))]);
  const third = g.op('Relu', [layer(second, 'block.mlp.0.weight', 3)]);
  g.output(layer(layer(third, 'block.mlp.1.weight', 4), 'last.weight', 5), 'y', 'f32', ['N', width]);
  return g.graph();
}
const graph = network();
const batches = () => [{ x: f32([64, width], values(9, 64 * width)) }];

async function run(steps: readonly Step[], weights = 'uint4/channel', activations = 'uint8/token') {
  const recipe: Recipe = { name: 'test', summary: '', needs: [], steps: [...steps, { step: 'round', rounder: 'nearest' }], formats: [], exports: ['onnx'] };
  const applied = await applyRecipe(recipe, graph, { engine: ortNode, batches, formatOf: () => parseFormat(weights), activationOf: () => parseFormat(activations) });
  return { ...applied, error: await errorOf(await simulateQuantized(applied.graph, applied.weights, applied.activations)) };
}

async function outputOf(found: typeof graph): Promise<Float32Array> {
  const session = await openGraph(found, ortNode);
  const { y } = await session.run(batches()[0]);
  await session.dispose();
  return y.data as Float32Array;
}
async function errorOf(found: typeof graph): Promise<number> {
  const [float, low] = [await outputOf(graph), await outputOf(found)];
  return low.reduce((sum, value, i) => sum + (value - float[i]) ** 2, 0) / float.reduce((sum, value) => sum + value ** 2, 0);
}

test('protected layers get neither codes nor rounded inputs', async () => {
  const { weights, activations } = await run([{ step: 'protect', layers: ['embed', 'last'] }]);
  assert.deepEqual([...weights.keys()].sort(), ['block.attn.weight', 'block.mlp.0.weight', 'block.mlp.1.weight']);
  assert.equal(activations.size, 3);
});

test('balancing takes the strength with the least error, and none where none helps', async () => {
  const plain = await run([]);
  const balanced = await run([{ step: 'balance', alphas: [0.3, 0.5] }]);
  assert.ok(balanced.error < plain.error * 0.8, `${balanced.error} against ${plain.error}`);
  assert.ok(Math.abs(await errorOf(balanced.graph)) < 1e-10);
  assert.match(balanced.notes.at(-1)!, /balancing: alpha 0\.[35]/);
  assert.match((await run([{ step: 'balance', alphas: [] }])).notes.at(-1)!, /alpha none/);
});

test('bits by groups keep the mean and beat one width for all', async () => {
  const groups = [{ name: 'content', layers: ['mlp'], measure: 'sqnr', widths: [2, 4, 8] }, { name: 'quality', layers: [''], measure: 'sqnr', widths: [4, 8] }] as const;
  const mixed = await run([{ step: 'allocate-decoupled', groups, extraBits: 0, points: 6 }], 'uint5/channel');
  const bits = [...mixed.formats.values()].map((format) => format.bits);
  assert.equal(bits.length, 5);
  assert.ok(bits.reduce((sum, b) => sum + b, 0) / 5 <= 5);
  assert.ok([...mixed.weights].every(([id, { format }]) => format.name === mixed.formats.get(id)!.name));
  assert.ok(mixed.error < (await run([], 'uint4/channel')).error);
  await assert.rejects(run([{ step: 'allocate-decoupled', groups, extraBits: 0, points: 2 }], 'nf4'), /no widths to choose from/);
});

test('inputs on fixed grids are nodes of the graph, the worst of them left out', async () => {
  const { graph: fixed } = await run([{ step: 'round-inputs', protect: 0.2 }], 'int8/channel');
  assert.equal(fixed.nodes.filter(({ op }) => op === 'QuantizeLinear').length, 4);
  assert.deepEqual(linearSites(fixed).map(({ id }) => id), linearSites(graph).map(({ id }) => id));
  assert.ok(await errorOf(fixed) < 1e-3);
});
