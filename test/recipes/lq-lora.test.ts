import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseFormats, pointOf, type LayerOptions } from '../../src/allocate/allocation.ts';
import { ortNode } from '../../src/engine/ort-node.ts';
import { i64 } from '../../src/engine/tensor.ts';
import { bindFeeds } from '../../src/evaluate/feeds.ts';
import { exportWeightOnly } from '../../src/export/onnx-weight-only.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { bindDimensions } from '../../src/graph/bind.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { readFloats } from '../../src/graph/values.ts';
import { initialLlama } from '../../src/models/llama-init.ts';
import { matmul } from '../../src/numeric/matrix.ts';
import { randomInteger } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { memoryTensor } from '../../src/tensor-ref.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { lqLora } from '../../src/recipes/lq-lora.ts';
import type { Recipe } from '../../src/recipes/recipe.ts';
import { decompose } from '../../src/round/lq-decompose.ts';
import { insertAdapters } from '../../src/train/adapters.ts';
import { fisherDiagonals, isText } from '../../src/train/fisher.ts';
import { gradientsAt } from '../../src/train/gradients.ts';
import { classification } from '../../src/train/objective.ts';

const model = initialLlama('tiny', { vocabulary: 64, hidden: 64, intermediate: 96, layers: 1, heads: 2, context: 16 }, { seed: 1 });
const tokens = (seed: number, windows: number) => i64([windows, 16], Array.from({ length: windows * 16 }, (_, i) => randomInteger(seed, 0, i, 64)));
const graph = model.graph();
const sites = linearSites(graph).filter(({ id }) => id.includes('.layers.'));

test('the program finds the optima of the card', async () => {
  const costs = [[9, 3, 1], [4, 2, 0.5], [16, 5, 2]];
  const sizes = [100, 50, 200];
  const layers: LayerOptions[] = costs.map((row, i) => ({ id: String(i), weights: sizes[i], options: row.map((loss, k) => ({ format: `nf${2 + k}`, bits: (2 + k) * sizes[i], loss })) }));
  for (const [bitsPerWeight, best] of [[2.5, 21], [3, 10], [3.25, 8.5], [3.5, 6.5]]) {
    const choice = await chooseFormats(layers, { bitsPerWeight, weights: 350, rest: 0 });
    assert.equal(pointOf(layers, choice, { weights: 350, rest: 0 }).loss, best);
  }
});

test('Fisher diagonals are squares of the gradients of single sequences, summed', async () => {
  const feeds = { input_ids: tokens(3, 2) };
  const found = await fisherDiagonals(graph, ortNode, [feeds], sites);
  const bound = await bindDimensions(graph, { batch: 1, sequence: 15 });
  const { graph: ending, loss, feed } = classification(bound, { logits: 'logits' });
  const ids = Array.from(feeds.input_ids.data as BigInt64Array, Number);
  const [site] = sites;
  const expected = new Float64Array(site.rows * site.cols);
  for (const at of [0, 16]) {
    const fed = { input_ids: i64([1, 15], ids.slice(at, at + 15)), ...feed({ kind: 'classes', values: ids.slice(at + 1, at + 16) }, undefined) };
    const g = (await gradientsAt(ending, loss, [site.id], fed, ortNode)).get(site.id)!;
    for (let r = 0; r < site.rows; r++) for (let c = 0; c < site.cols; c++) expected[r * site.cols + c] += g[site.transposed ? c * site.rows + r : r * site.cols + c] ** 2;
  }
  const most = Math.max(...expected);
  assert.ok(most > 0);
  found.get(site.id)!.forEach((x, i) => assert.ok(Math.abs(x - expected[i]) < 1e-5 * most));
});

test('Fisher diagonals of a graph with a cache, as jobs have it, are the same', async () => {
  const ids = tokens(3, 2);
  const cached = model.graph({ cache: true });
  const expected = await fisherDiagonals(graph, ortNode, [{ input_ids: ids }], sites);
  const found = await fisherDiagonals(cached, ortNode, [bindFeeds({ input_ids: ids }, cached.inputs)], linearSites(cached).filter(({ id }) => id.includes('.layers.')));
  for (const [id, values] of expected) {
    const most = Math.max(...values);
    found.get(id)!.forEach((x, i) => assert.ok(Math.abs(x - values[i]) < 1e-4 * most, id));
  }
  assert.ok(isText({ input_ids: ids }, graph) && isText(bindFeeds({ input_ids: ids }, cached.inputs), cached));
  assert.ok(!isText({ input_ids: ids, attention_mask: ids }, graph), 'an encoder sees tokens before and after');
  assert.ok(!isText({ input_ids: ids }, { outputs: [{ name: 'logits', type: 'f32', shape: ['batch', 5] }] }), 'one answer for a whole text');
});

const small: Recipe = { ...lqLora, steps: [{ step: 'decompose', rank: 4, rounds: 100, sequences: 2, formats: ['nf2/b32@bf16+nested8x256', 'nf4/b32@bf16+nested8x256'] }, { step: 'round', rounder: 'nearest' }] };

test('the recipe keeps its bits, and the written file computes with the low-bit part and the branch', async () => {
  const asked = parseFormat('nf3/b32@bf16+nested8x256');
  const own = new Set(sites.map(({ id }) => id));
  const applied = await applyRecipe(small, graph, { engine: ortNode, formatOf: ({ id }) => (own.has(id) ? asked : undefined), batches: () => [{ input_ids: tokens(4, 2) }] });
  assert.ok(applied.allocation!.bitsPerWeight <= applied.allocation!.budget * (1 + 1e-9));
  assert.equal(applied.kept.size, 2 * sites.length);
  const { graph: written } = await exportWeightOnly(applied.graph, applied.weights, { accuracyLevel: 0 });
  // What the file should compute: the float graph with Q + L₁·L₂ in place of each weight.
  const weights = new Map(graph.weights);
  for (const site of sites) {
    const matrix = applied.weights.get(site.id)!;
    const decoded = matrix.format.decode(await matrix.read(0, site.rows));
    const branch = async (part: string) => { const name = [...applied.kept].find((one) => one === `${site.id}_${part}`)!; return readFloats(applied.graph.weights.get(name)!); };
    const product = matmul(await branch('down'), await branch('up'), site.cols, 4, site.rows);
    const sum = Float32Array.from({ length: decoded.length }, (_, i) => decoded[(i % site.rows) * site.cols + Math.floor(i / site.rows)] + product[i]);
    weights.set(site.id, memoryTensor(site.id, 'f32', [site.cols, site.rows], new Uint8Array(sum.buffer)));
  }
  const run = async (of: typeof graph) => {
    const session = await openGraph(of, ortNode);
    try { return (await session.run({ input_ids: tokens(5, 1) }, ['logits'])).logits.data as Float32Array; } finally { await session.dispose(); }
  };
  const [found, expected] = [await run(written), await run({ ...graph, weights })];
  found.forEach((x, i) => assert.ok(Math.abs(x - expected[i]) < 1e-4, `${x} is not ${expected[i]}`));
});

test('adapters start at a decomposition where they are given one', async () => {
  const [site] = sites;
  const { left, right, quantized } = decompose({ values: await site.weightMatrix(), rows: site.rows, cols: site.cols, name: site.id }, parseFormat('nf2/b32'), 4, { half: true });
  const { graph: adapted, adapters: [adapter] } = insertAdapters(graph, [site], { rank: 4, alpha: 4, start: () => ({ a: transposed(right, 4, site.cols), b: transposed(left, site.rows, 4) }) });
  const [a, b] = [await readFloats(adapted.weights.get(adapter.a)!), await readFloats(adapted.weights.get(adapter.b)!)];
  const product = matmul(a, b, site.cols, 4, site.rows);
  const decoded = parseFormat('nf2/b32').decode(quantized);
  const matrix = await site.weightMatrix();
  let [error, energy] = [0, 0];
  matrix.forEach((w, i) => { error += (w - decoded[i] - product[(i % site.cols) * site.rows + Math.floor(i / site.cols)]) ** 2; energy += (w - decoded[i]) ** 2; });
  assert.ok(error < energy);
});

const transposed = (x: Float32Array, rows: number, cols: number) => Float32Array.from({ length: x.length }, (_, i) => x[(i % rows) * cols + Math.floor(i / rows)]);
