/** Learned rounding: check values of the papers' formulas, and the keyword-spotting network at three bits. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { parseFormat } from '../../src/formats/registry.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { compositeDomain, lower } from '../../src/graph/composite.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import { GraphTape } from '../../src/graph/gradient/tape.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { linearSites, type Linear } from '../../src/graph/linear.ts';
import { freshNames } from '../../src/graph/rewrite.ts';
import { readFloats } from '../../src/graph/values.ts';
import { openModern } from '../../src/jobs/source-node.ts';
import { readNpy } from '../../src/observe/data/npy.ts';
import { arrayDataset, subset } from '../../src/observe/data/index.ts';
import { accuracyOf } from '../../src/reproductions/data/accuracy.ts';
import { blocksOf } from '../../src/train/blocks.ts';
import { composites } from '../../src/train/composites/index.ts';
import { startStep } from '../../src/train/activation-steps.ts';
import { reconstruct, simulateReconstructed, type ReconstructOptions } from '../../src/train/reconstruct.ts';
import { simulateWeights } from '../../src/train/simulate.ts';
import { appendSoftWeight, refusesSoftRounding, roundingIsPushed, roundingTemperature, softRound, softRoundInverse, softStart } from '../../src/train/soft-rounding.ts';

const near = (actual: number, expected: number, within = 1e-9): void => assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`);
const keywords = join(import.meta.dirname, '../../assets/kws-dscnn');

/** Outputs of a graph without inputs. */
async function constantsOf(graph: Graph, names: readonly string[]): Promise<Record<string, Float32Array>> {
  const session = await ortNode.open({ bytes: await onnxBytes(lower({ ...graph, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) }, composites)) });
  const found = await session.run({});
  await session.dispose();
  return Object.fromEntries(names.map((name) => [name, found[name].data as Float32Array]));
}

test('soft rounding and its inverse have the values of the formula', () => {
  for (const [fraction, v] of [[0, -2.3978952728], [0.1, -1.6094379124], [0.3, -0.6931471806], [0.5, 0], [0.9, 1.6094379124]]) {
    near(softRoundInverse(fraction), v, 1e-10);
    near(softRound(softRoundInverse(fraction)), fraction, 1e-12);
  }
});

test('the temperature stays at 20 for a fifth of the steps and falls to 2 in a straight line', () => {
  for (const [step, temperature] of [[3999, 20], [4000, 20], [12000, 11], [20000, 2]]) near(roundingTemperature(step, 20000), temperature, 1e-12);
  assert.deepEqual([0, 3999, 4000].map((step) => roundingIsPushed(step, 20000)), [false, false, true]);
});

test('the regulariser has the values of the formula, and its gradient', async () => {
  for (const [temperature, expected] of [[20, [1, 0.999999989, 0.988470785, 0.3323920282]], [2, [1, 0.84, 0.36, 0.0396]]] as const) {
    const g = new GraphBuilder('regulariser');
    const h = g.weight(floatTensor('h', [4], Float32Array.of(0.5, 0.3, 0.9, 0.99)));
    const [each] = [g.op('RoundingRegulariser', [h, g.floats(temperature)], {}, { domain: compositeDomain })];
    g.info(each, 'f32', [4]);
    g.output(g.op('ReduceSum', [each], { keepdims: { kind: 'int', value: 0 } }), 'loss', 'f32', []);
    const { graph, gradients } = await gradient(g.graph(), 'loss', ['h'], { composites });
    const found = await constantsOf(graph, [each, gradients.get('h')!]);
    found[each].forEach((value, i) => near(value, expected[i], 1e-6));
    // d(1 − (2h − 1)²)/dh = −4(2h − 1)
    if (temperature === 2) found[gradients.get('h')!].forEach((value, i) => near(value, [0, 1.6, -3.2, -3.92][i], 1e-5));
  }
});

test('a weight keeps its floor when its scale moves, and passes the gradients of Genie', async () => {
  const { base, start } = softStart(Float32Array.of(0.37), Float32Array.of(0.1), Float32Array.of(8));
  assert.equal(base[0], 3 + 8);
  near(softRound(start[0]), 0.7, 1e-6);
  const of = async (scale: number) => {
    const g = new GraphBuilder('weight');
    const [v, s] = [g.weight(floatTensor('v', [1], start)), g.weight(floatTensor('s', [1], Float32Array.of(scale)))];
    const h = g.info(g.op('RectifiedSigmoid', [v], {}, { domain: compositeDomain }), 'f32', [1]);
    const code = g.op('Sub', [g.op('Clip', [g.op('Add', [g.floats([11]), h]), g.floats(0), g.floats(15)]), g.floats(8)]);
    g.output(g.op('Mul', [code, s]), 'w', 'f32', [1]);
    const { graph, gradients } = await gradient(g.graph(), 'w', ['v', 's'], { composites });
    const found = await constantsOf(graph, ['w', gradients.get('v')!, gradients.get('s')!]);
    return { w: found.w[0], dv: found[gradients.get('v')!][0], ds: found[gradients.get('s')!][0] };
  };
  const first = await of(0.1);
  near(first.w, 0.37, 1e-6);
  near(first.ds, 3.7, 1e-5);
  near(first.dv, 0.0266667, 1e-6);
  near((await of(0.11)).w, 0.407, 1e-6);
});

test('scales from extremes have the published scores, and searched ones are no worse', () => {
  const w = Float32Array.of(-1, -0.4, -0.1, 0.05, 0.2, 0.35, 0.6, 3);
  const score = (decoded: Float32Array): number => decoded.reduce((sum, value, i) => sum + Math.abs(value - w[i]) ** 2.4, 0) / w.length;
  for (const [bits, scale, zero, expected] of [[4, 0.2666667, 4, 0.0026579963], [2, 1.3333333, 1, 0.0817266116]]) {
    const format = parseFormat(`uint${bits}/channel`);
    const plain = format.encode(w, 1, 8);
    near(plain.scales[0], scale, 1e-6);
    assert.equal(plain.zeros![0], zero);
    near(score(format.decode(plain)), expected, 1e-8);
    assert.ok(score(format.decode(format.encode(w, 1, 8, { search: 'p2.4' }))) <= expected + 1e-9);
  }
});

test('steps of activations start unsigned where nothing is negative, and cut the tail of an outlier', () => {
  const rectified = Float32Array.from({ length: 1000 }, (_, i) => i / 1000);
  assert.deepEqual([startStep(rectified, 4).low, startStep(rectified, 4).high], [0, 15]);
  assert.ok(Math.abs(startStep(rectified, 4).scale * 15 - 1) < 0.06);
  const outlier = rectified.map((value, i) => (i === 999 ? 3 : value));
  assert.ok(startStep(outlier, 4).scale * 15 < 3);
  assert.deepEqual([startStep(outlier.map((value) => -value), 4).low, startStep(outlier.map((value) => -value), 4).high], [-8, 7]);
  assert.ok(startStep(new Float32Array(8), 4).scale > 0);
});

test('blocks are residual units, separable layers, else layers; every node is in one', async () => {
  const { graph } = await openModern(join(keywords, 'kws-dscnn.onnx'));
  const counts = (unit: 'layer' | 'block'): number[] => blocksOf(graph, unit).map(({ sites }) => sites.length);
  assert.deepEqual(counts('layer'), Array(10).fill(1));
  assert.deepEqual(counts('block'), [1, 2, 2, 2, 2, 1]);
  const g = new GraphBuilder('residual');
  const x = g.input('x', 'f32', ['n', 4]);
  const layer = (from: string) => g.op('MatMul', [from, g.weight(floatTensor('w', [4, 4], new Float32Array(16)))]);
  const stem = g.op('Relu', [layer(x)]);
  const unit = g.op('Add', [layer(g.op('Relu', [layer(stem)])), stem]);
  g.output(layer(g.op('Relu', [unit])), 'y', 'f32', ['n', 4]);
  const blocks = blocksOf(g.graph(), 'block');
  assert.deepEqual(blocks.map(({ nodes }) => nodes.map(({ op }) => op).join(' ')), ['MatMul Relu', 'MatMul Relu MatMul Add Relu', 'MatMul']);
  assert.deepEqual(blocksOf(g.graph(), 'layer').map(({ nodes }) => nodes.map(({ op }) => op).join(' ')), ['MatMul Relu', 'MatMul Relu', 'MatMul Add Relu', 'MatMul']);
});

test('blocks of a language model are attention and feed-forward parts', async () => {
  const model = await openModern(join(keywords, '../host-llama-shakespeare'));
  const blocks = blocksOf(model.graph, 'block').filter(({ sites }) => sites.length > 0);
  await model.close();
  assert.deepEqual(blocks.map(({ sites }) => sites.length), Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? 4 : 3)));
  assert.ok(blocks.filter((_, i) => i % 2 === 1).every(({ inputs, outputs }) => inputs.length === 1 && outputs.length === 1));
});

test('transposed weights and groups come back as codes of the format', async () => {
  const g = new GraphBuilder('linear');
  const x = g.input('x', 'f32', ['n', 4]);
  const values = Float32Array.from({ length: 12 }, (_, i) => Math.sin(i + 1));
  g.output(g.op('MatMul', [x, g.weight(floatTensor('w', [4, 3], values))]), 'y', 'f32', ['n', 3]);
  const [site] = linearSites(g.graph());
  const matrix = await site.weightMatrix();
  for (const spelling of ['int4/channel', 'uint4/g2', 'uint3/tensor', 'int4-full/g4']) {
    const format = parseFormat(spelling);
    const nearest = format.encode(matrix, 3, 4, { search: 'p2.4' });
    const tape = new GraphTape(freshNames(g.graph()));
    const soft = await appendSoftWeight(tape, site, format);
    const hard = soft.harden(await readFloats(tape.weights.get(soft.rounding)!), await readFloats(tape.weights.get(soft.scale)!));
    assert.deepEqual([...hard.codes], [...nearest.codes], spelling);
    assert.equal(hard.squaredError, nearest.squaredError, spelling);
    // What the graph computes before anything is learned is the weight itself, inside of the range.
    const found = await constantsOf({ ...g.graph(), inputs: [], nodes: tape.take(), weights: tape.weights, opset: new Map([...g.graph().opset, [compositeDomain, 1]]) }, [soft.value]);
    const inside = format.decode(nearest);
    [...values].forEach((value, i) => assert.ok(Math.abs(found[soft.value][i] - value) <= Math.abs(inside[(i % 3) * 4 + Math.floor(i / 3)] - value) + 1e-6, spelling));
  }
  assert.match(refusesSoftRounding(site, parseFormat('nf4'))!, /not an integer format/);
  const batches = [{ x: f32([2, 4], new Float32Array(8).fill(1)) }];
  const options = { engine: ortNode, unit: 'layer', scales: 'fixed', drop: false } as const;
  await assert.rejects(reconstruct(g.graph(), batches, { ...options, formatOf: () => parseFormat('nf4') }), /w: rounding cannot be learned in nf4/);
});

test('reconstruction at three bits keeps predictions that rounding to nearest loses, with the same codes each time', async () => {
  const { graph } = await openModern(join(keywords, 'kws-dscnn.onnx'));
  const inputs = readNpy(await readFile(join(keywords, 'inputs.npy')), 'inputs');
  const labels = readNpy(await readFile(join(keywords, 'labels.npy')), 'labels');
  const data = arrayDataset('keywords', new Map([['input', inputs]]), labels);
  const { feeds } = await data.batch(Array.from({ length: 64 }, (_, i) => i));
  const rest = subset(data, Array.from({ length: data.count - 64 }, (_, i) => i + 64));
  const format = parseFormat('int3/channel');
  const sites = linearSites(graph);
  const learn = (options: Partial<ReconstructOptions> = {}) =>
    reconstruct(graph, [feeds], { engine: ortNode, formatOf: () => format, unit: 'block', scales: 'fixed', drop: false, iterations: 40, batch: 16, ...options });
  const learned = await learn();
  for (const { hard, nearest } of learned.blocks) assert.ok(hard <= nearest);
  const nearest = await accuracyOf(await simulateWeights(graph, sites, () => format), ortNode, rest);
  const after = await accuracyOf(await simulateReconstructed(graph, sites, learned), ortNode, rest);
  assert.ok(after > nearest + 10, `${after} % against ${nearest} %`);

  // Everything at once: steps of activations, dropped quantization, scales that move. Only the last layer, twice.
  const all = { formatOf: (site: Linear) => (site.kind === 'Gemm' ? format : undefined), activationBits: (site: Linear) => (site.kind === 'Gemm' ? 4 : undefined), scales: 'learned', drop: true } as const;
  const [one, two] = [await learn(all), await learn(all)];
  const codesOf = async ({ weights }: typeof one) => (await weights.get('dense.weight')!.read(0, 12)).codes;
  assert.deepEqual([...one.weights.keys()], ['dense.weight']);
  assert.ok((await codesOf(one)).every((code) => code >= -3 && code <= 3));
  assert.deepEqual(await codesOf(one), await codesOf(two));
  assert.deepEqual(one.activations, two.activations);
});
