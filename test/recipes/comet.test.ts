/** Blocks of inputs at two widths: the card's figures, what the written file computes, and orders that leave the function alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { exportWithInputs } from '../../src/export/onnx-activations.ts';
import { isMixed } from '../../src/formats/mixed-blocks.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { comet } from '../../src/recipes/comet.ts';
import type { Step } from '../../src/recipes/recipe.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { checkEquivalent } from '../../src/transform/check-equivalent.ts';
import { largestBlocks, outlierBlocks, outlierChannels } from '../../src/transform/outlier-blocks.ts';
import { permuteInputs, risingOrder } from '../../src/transform/permute-inputs.ts';
import { openLlama } from '../../src/reproductions/data/llama.ts';

test('card: two outliers in both blocks of four, sorted in one', () => {
  const maxima = [1, 9, 1, 1, 8, 1, 1, 1];
  const outliers = outlierChannels(maxima);
  assert.deepEqual(outliers, [false, true, false, false, true, false, false, false]);
  assert.deepEqual(outlierBlocks(outliers, [0, 1, 2, 3, 4, 5, 6, 7], 4), [0, 1]);
  const order = risingOrder(maxima);
  assert.deepEqual([...order].slice(-2), [4, 1]);
  assert.deepEqual(outlierBlocks(outliers, order, 4), [1]);
  assert.deepEqual(largestBlocks(maxima, [0, 1, 2, 3, 4, 5, 6, 7], 4, 1), [0]);
  assert.equal(4 + 4 * 0.1, 4.4);
});

test('a format of two widths gives the codes of each, block by block, and counts their bits', () => {
  const format = parseFormat('int4/g4+int8at1');
  assert.ok(isMixed(format));
  assert.equal(parseFormat(format.name), format);
  const values = Float32Array.of(0.875, -0.1875, 0.0625, 0.4, 0.875, -0.1875, 0.0625, 0.4);
  const quantized = format.encode(values, 1, 8);
  assert.deepEqual([...quantized.codes], [7, -2, 0, 3, 127, -27, 9, 58]);
  assert.deepEqual([...format.decode(quantized)].slice(0, 4), [0.875, -0.25, 0, 0.375]);
  assert.equal(format.bitsPerWeight(1, 8), 6 + 8);
  assert.match(format.refuses(1, 8)!, /for inputs/);
  for (const wrong of ['uint4/g128+int8at1', 'int4/channel+int8at1', 'int8/g32+int4at1', 'int4/g128+int8at']) assert.throws(() => parseFormat(wrong), /takes no/);
});

const [cols, rows, count] = [128, 24, 40];
const x = Float32Array.from({ length: count * cols }, (_, i) => normal(5, 0, i) * (i % cols === 70 || i % cols === 7 ? 30 : 1));

/** y = relu(x·A + a)·B, so that the second input can be reordered where it is made. */
function network(): Graph {
  const g = new GraphBuilder('network', 21);
  const weight = (name: string, shape: number[], seed: number): string => g.weight(floatTensor(name, shape, Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => normal(seed, 0, i) / 8)));
  const inner = g.op('Relu', [g.op('Add', [g.op('MatMul', [g.input('x', 'f32', ['N', cols]), weight('a', [cols, cols], 1)]), weight('bias', [cols], 2)])]);
  g.output(g.op('MatMul', [inner, weight('b', [cols, rows], 3)]), 'y', 'f32', ['N', rows]);
  return g.graph();
}
const feeds = { x: f32([count, cols], x) };

async function outputs(graph: Graph): Promise<Float32Array> {
  const session = await openGraph(graph, ortNode);
  try {
    return (await session.run(feeds)).y.data as Float32Array;
  } finally {
    await session.dispose();
  }
}

async function applied(step: Partial<Extract<Step, { step: 'mix-blocks' }>>, inputs: string | null = 'int4/g32') {
  const steps: Step[] = [{ step: 'mix-blocks', wide: 'rule', most: 0.15, sort: true, ...step }, { step: 'round', rounder: 'nearest' }];
  const made = await applyRecipe({ ...comet, steps }, network(), { engine: ortNode, batches: () => [feeds], formatOf: () => parseFormat('int4/g32'), activationOf: () => (inputs === null ? undefined : parseFormat(inputs)) });
  return { ...made, y: await outputs((await exportWithInputs(made.graph, made.weights, made.activations)).graph) };
}

async function uniform(inputs: string): Promise<Float32Array> {
  const made = await applyRecipe({ ...comet, steps: [{ step: 'round', rounder: 'nearest' }] }, network(), { engine: ortNode, formatOf: () => parseFormat('int4/g32'), activationOf: () => parseFormat(inputs) });
  return outputs((await exportWithInputs(made.graph, made.weights, made.activations)).graph);
}

test('all blocks wide is W4A8, none wide is W4A4 in blocks, to the bit', async () => {
  assert.deepEqual((await applied({ wide: 1, sort: false })).y, await uniform('int8/g32'));
  assert.deepEqual((await applied({ wide: 0, sort: false })).y, await uniform('int4/g32'));
});

test('outliers go to one block of 8 bits, and the output comes closer to the float one', async () => {
  const float = await outputs(network());
  const error = (y: Float32Array): number => Math.sqrt(y.reduce((sum, v, i) => sum + (v - float[i]) ** 2, 0) / float.reduce((sum, v) => sum + v * v, 0));
  const [sorted, own, plain] = [await applied({}), await applied({ sort: false }), await uniform('int4/g32')];
  const formats = [...sorted.activations.values()].map(({ name }) => name);
  assert.deepEqual(formats, ['int4/g32+int8at3', 'int4/g32']);
  assert.ok(error(sorted.y) < 0.8 * error(own.y) && error(own.y) < error(plain), `${error(sorted.y)} ${error(own.y)} ${error(plain)}`);
  assert.match(sorted.notes.join(), /78\.9 % of the products see 4 bits, the others 8: 4\.84 bits a value/);
  assert.deepEqual([...(await applied({}, null)).activations.values()].map(({ name }) => name), ['int8/g128', 'int4/g128']);
});

test('an order is folded into the layer before where nothing else sees the value, and gathered elsewhere', async () => {
  const graph = network();
  const order = risingOrder(Float64Array.from({ length: cols }, (_, i) => (i * 37) % cols));
  const values = graph.nodes.filter(({ op }) => op === 'MatMul').map(({ inputs }) => inputs[0]);
  const permuted = await permuteInputs(graph, new Map(values.map((value) => [value, order])));
  assert.equal(permuted.nodes.filter(({ op }) => op === 'Gather').length, 1);
  assert.ok(await checkEquivalent(graph, permuted, ortNode, feeds, 1e-5) < 1e-6);
});

test('of a language model, the order of what down projections read is folded into gate and up', async () => {
  const host = await openLlama();
  try {
    const values = new Set(host.graph.nodes.filter(({ op, inputs }) => op === 'MatMul' && /layers\.\d+\..*weight$/.test(inputs[1])).map(({ inputs }) => inputs[0]));
    const widths = [...values].map((value): [string, Uint32Array] => [value, risingOrder(Float64Array.from({ length: host.graph.nodes.some(({ inputs }) => inputs[0] === value && inputs[1].includes('down')) ? 512 : 256 }, (_, i) => (i * 37) % 64))]);
    const permuted = await permuteInputs(host.graph, new Map(widths));
    const gathers = (graph: Graph): number => graph.nodes.filter(({ op }) => op === 'Gather').length;
    assert.equal(gathers(permuted) - gathers(host.graph), 18);
    assert.ok(await checkEquivalent(host.graph, permuted, ortNode, host.judged(1)[0].feeds, 1e-5) < 1e-5);
  } finally {
    await host.close();
  }
});
