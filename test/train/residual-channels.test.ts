/** Residual channels: values worked out by hand, in the numbers that the written graph computes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { exportWithInputs } from '../../src/export/onnx-activations.ts';
import { normal } from '../../src/numeric/random.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { applyRecipe } from '../../src/recipes/apply.ts';
import { arcquant } from '../../src/recipes/arcquant.ts';
import type { Step } from '../../src/recipes/recipe.ts';
import { quantizedWhole } from '../../src/round/quantized-matrix.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { repeatColumns, residualChannels, stepsOf64 } from '../../src/train/residual-channels.ts';
import { risingOrder } from '../../src/transform/permute-inputs.ts';

/** The test input of the formats card. */
const card = (i: number): number => Math.fround(((((31 * i * i + 17 * i + 11) % 257) - 128) * (1 + Math.floor(i / 32))) / 400);
const x16 = Float32Array.from({ length: 16 }, (_, i) => card(i));
const w16 = Float32Array.from({ length: 16 }, (_, i) => card(16 + i));
/** NVFP4 with a tensor scale of one. */
const plain = parseFormat('e2m1/b16@e4m3');

/** y = x·Wᵀ for W [rows, cols], as Gemm. */
function product(weight: Float32Array, rows: number, cols: number): Graph {
  const g = new GraphBuilder('product', 21);
  g.output(g.op('Gemm', [g.input('x', 'f32', ['N', cols]), g.weight(floatTensor('w', [rows, cols], weight))], { transB: int(1) }), 'y', 'f32', ['N', rows]);
  return g.graph();
}

async function run(graph: Graph, steps: readonly Step[], x: Float32Array, cols: number, formats: { readonly weights?: string; readonly inputs?: string }) {
  const feeds = { x: f32([x.length / cols, cols], x) };
  const format = (spelling: string | undefined) => () => (spelling === undefined ? undefined : parseFormat(spelling));
  const applied = await applyRecipe({ ...arcquant, steps }, graph, { engine: ortNode, batches: () => [feeds], formatOf: format(formats.weights), activationOf: format(formats.inputs) });
  const session = await openGraph((await exportWithInputs(applied.graph, applied.weights, applied.activations)).graph, ortNode);
  const { y } = await session.run(feeds);
  await session.dispose();
  return { ...applied, y: y.data as Float32Array };
}

test('what rounding to four bits loses is rounded once more: 71 times less error', () => {
  const first = plain.encode(x16, 1, 16);
  assert.equal([...first.codes].map((code) => code.toString(16)).join(''), 'fe4ceb6ada6ced3e');
  assert.equal(first.scales[0], 0.046875);
  const decoded = plain.decode(first);
  const rest = x16.map((v, i) => v - decoded[i]);
  assert.ok(Math.abs(rest[0] + 0.01125) < 1e-7 && Math.abs(rest[5] - 0.0003125) < 1e-7);
  const second = plain.encode(rest, 1, 16);
  assert.equal(second.scales[0], 0.00390625);
  assert.equal([...second.codes].map((code) => code.toString(16)).join(''), 'd64e70bb4de4031f');
  const again = plain.decode(second);
  const mean = (errors: Float32Array): number => errors.reduce((sum, e) => sum + e * e, 0) / 16;
  assert.ok(Math.abs(mean(rest) - 1.2911373e-4) < 1e-10);
  assert.ok(Math.abs(mean(rest.map((e, i) => e - again[i])) - 1.8173264e-6) < 1e-12);
});

test('the written graph multiplies both stages', async () => {
  const graph = product(w16, 1, 16);
  const nearest: Step = { step: 'round', rounder: 'nearest' };
  const both = { weights: plain.name, inputs: plain.name };
  const alone = await run(graph, [nearest], x16, 16, both);
  assert.ok(Math.abs(alone.y[0] - 0.0470123291) < 1e-8);
  const kept = await run(graph, [nearest, { step: 'residual-channels', channels: 1, samples: 16 }], x16, 16, both);
  assert.ok(Math.abs(kept.y[0] - 0.0474586486) < 1e-8, `${kept.y[0]}`);
  const none = await run(graph, [nearest, { step: 'residual-channels', channels: 0, samples: 16 }], x16, 16, both);
  assert.equal(none.y[0], alone.y[0]);
  assert.match(kept.notes[0], /9\.000 bits a weight/);
});

test('the rule counts values above an eighth of their token, in steps of 64 channels', () => {
  assert.deepEqual([0.013, 0, 0.26, 0.99].map((share) => stepsOf64(256, share)), [64, 0, 128, 256]);
  const rows = new Float32Array(2 * 128).fill(0.1);
  rows[3] = -1;
  assert.equal(residualChannels(rows, 1, 128), 64);
  assert.equal(residualChannels(new Float32Array(256), 2, 128), 0);
  assert.equal((4.5 * (4096 + 128)) / 4096, 4.640625);
});

test('repeated columns have the same codes and scales', async () => {
  const values = Float32Array.from({ length: 3 * 64 }, (_, i) => normal(1, 0, i));
  const format = parseFormat('nvfp4');
  const wide = await repeatColumns(quantizedWhole(format, format.encode(values, 3, 64)), 32, 16);
  const { codes, scales, tensorScale } = await wide.read(0, 3);
  const whole = format.encode(values, 3, 64);
  assert.equal(tensorScale, whole.tensorScale);
  for (let r = 0; r < 3; r++) {
    assert.deepEqual(codes.slice(r * 96 + 64, r * 96 + 96), whole.codes.slice(r * 64 + 32, r * 64 + 64));
    assert.deepEqual(scales.slice(r * 6 + 4, r * 6 + 6), whole.scales.slice(r * 4 + 2, r * 4 + 4));
  }
});

test('sorted channels keep the function; with all residuals the input loses less than a thirtieth of what it did, whatever the order', async () => {
  assert.deepEqual([...risingOrder([3, 1, 2, 1])], [1, 3, 2, 0]);
  const [cols, rows, count] = [128, 24, 40];
  const x = Float32Array.from({ length: count * cols }, (_, i) => normal(5, 0, i) * (i % cols === 70 ? 30 : 1));
  const weight = Float32Array.from({ length: rows * cols }, (_, i) => (normal(5, 1, i) < 0 ? -1 : 1));
  const graph = product(weight, rows, cols);
  const float = new Float32Array(count * rows);
  for (let t = 0; t < count; t++) for (let r = 0; r < rows; r++) for (let c = 0; c < cols; c++) float[t * rows + r] += x[t * cols + c] * weight[r * cols + c];
  const sort: Step = { step: 'sort-channels' };
  const round: Step = { step: 'round', rounder: 'nearest' };
  const all: Step = { step: 'residual-channels', channels: 1, samples: 64 };
  // Eight bits hold signs exactly: what is left is the error of the input.
  const error = async (steps: readonly Step[]): Promise<number> => {
    const { y } = await run(graph, steps, x, cols, { weights: 'int8/g16', inputs: 'nvfp4' });
    return y.reduce((sum, v, i) => sum + (v - float[i]) ** 2, 0);
  };
  const [nearest, sorted, unsorted] = [await error([round]), await error([sort, round, all]), await error([round, all])];
  assert.ok(sorted < nearest / 30 && unsorted < nearest / 30, `${nearest}, ${sorted}, ${unsorted}`);
  const { graph: permuted } = await run(graph, [sort, round], x, cols, { weights: 'nvfp4', inputs: 'nvfp4' });
  const site = linearSites(permuted)[0];
  const matrix = await site.weightMatrix();
  for (let r = 0; r < rows; r++) assert.equal(matrix[r * cols + cols - 1], weight[r * cols + 70]);
});
