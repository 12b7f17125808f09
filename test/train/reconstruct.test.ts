/** Learned rounding: check values of the papers' formulas, and the keyword-spotting network at three bits. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { miniFloat } from '../../src/formats/minifloat-code.ts';
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
import { adam, inUnits } from '../../src/train/optimizers.ts';
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

test('floating-point grids with a real maximum are formats with a real scale', () => {
  const shown = (spelling: string, c: number, x: readonly number[]): number[] => {
    const format = parseFormat(spelling);
    return [...format.decode(format.encode(Float32Array.of(c, ...x), 1, x.length + 1)).subarray(1)];
  };
  assert.deepEqual(shown('e2m1/tensor', 6, [6, 5, 3.6, 2.5, 1.25, 0.75, 0.3, 0.25, -0.2]), [6, 4, 4, 2, 1, 1, 0.5, 0, -0]);
  for (const [i, value] of shown('e2m1/tensor', 5, [5, 4, 3, 2.2, 1, 0.4]).entries()) near(value, [5, 10 / 3, 10 / 3, 2.5, 5 / 6, 5 / 12][i], 1e-6);
  const levels = (spelling: string, c: number): number[] => [...new Set(shown(spelling, c, Array.from({ length: 4001 }, (_, i) => (i * c) / 4000)))];
  assert.deepEqual(levels('e3m0/tensor', 16), [0, 0.25, 0.5, 1, 2, 4, 8, 16]);
  assert.deepEqual(shown('e3m0/tensor', 16, [12, 6, 3, -1.5, 0.375, 0.125]), [16, 8, 4, -2, 0.5, 0]);
  assert.deepEqual(levels('e1m2/tensor', 3.5), [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]);
  assert.equal(levels('e2m3/tensor', 7.5).length, 32);
  // The paper's form: s = 2^(max(⌊log2|x| + b⌋, 1) − M − b) with a real bias b; values that close to a binade's end round to it from either side.
  for (const [exponent, mantissa, c] of [[2, 1, 0.37], [2, 3, 1.9], [3, 4, 11.3]]) {
    const bias = 2 ** exponent - Math.log2(c) + Math.log2(2 - 2 ** -mantissa) - 1;
    const x = Array.from({ length: 500 }, (_, i) => c * Math.sin(i + 1) ** 3);
    shown(`e${exponent}m${mantissa}/tensor`, c, x).forEach((value, i) => {
      const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x[i])) + bias), 1) - mantissa - bias);
      near(value, step * Math.round(x[i] / step), 1e-6 * c);
    });
  }
});

test('roundings of floating-point weights start at the weight itself, between the levels of its own binade', () => {
  const w = Float32Array.of(0, 0.125, -0.3, 1.25, -3.4, 5, -6, 8);
  const { base, start, units } = softStart(w, new Float32Array(8).fill(1), new Float32Array(8), miniFloat(2, 1));
  assert.deepEqual([...units], [0.5, 0.5, 0.5, 0.5, 1, 2, 2, 2]);
  start.forEach((v, i) => near(units[i] * (base[i] + softRound(v)), Math.min(6, w[i]), 1e-6));
  near(start[1], -0.887303, 1e-6);
});

test('in units of its own step, a rounding between close levels moves further', () => {
  const [plain, own] = [new Float32Array(2), new Float32Array(2)];
  const state = () => [new Float32Array(2), new Float32Array(2)];
  adam().update(plain, Float32Array.of(0.3, -0.01), state(), { rate: 0.1, decay: 0, step: 1 });
  inUnits(adam(), Float32Array.of(0.5, 2)).update(own, Float32Array.of(0.3, -0.01), state(), { rate: 0.1, decay: 0, step: 1 });
  plain.forEach((moved) => near(Math.abs(moved), 0.1, 1e-6));
  own.forEach((moved, i) => near(moved, [-0.2, 0.05][i], 1e-6));
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

test('what every block reads does not tie them together', () => {
  const g = new GraphBuilder('conditioned');
  const [x, c] = [g.input('x', 'f32', ['n', 4]), g.input('c', 'f32', ['n', 4])];
  const layer = (from: string) => g.op('MatMul', [from, g.weight(floatTensor('w', [4, 4], new Float32Array(16)))]);
  const condition = g.op('Sigmoid', [layer(c)]);
  let h = layer(x);
  for (let block = 0; block < 7; block++) h = g.op('Add', [h, g.op('Mul', [layer(g.op('Mul', [h, layer(condition)])), layer(condition)])]);
  g.output(h, 'y', 'f32', ['n', 4]);
  assert.deepEqual(blocksOf(g.graph(), 'block').map(({ sites }) => sites.length).slice(-7), Array(7).fill(3));
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
  for (const spelling of ['int4/channel', 'uint4/g2', 'uint3/tensor', 'int4-full/g4', 'int4/g3', 'e2m1/g3', 'e2m1/channel', 'e3m0/tensor', 'nvfp4', 'mxfp4']) {
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
  assert.match(refusesSoftRounding(site, parseFormat('nf4'))!, /neither an integer nor a floating-point format/);
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
