import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { onnxBytes } from '../../src/files/onnx.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { float, GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { linearSites, withMatrix } from '../../src/graph/linear.ts';
import { momentKey } from '../../src/observe/moments.ts';
import { observe } from '../../src/observe/observe.ts';
import { biasShift, correctBias } from '../../src/transform/bias-correction.ts';
import { checkEquivalent } from '../../src/transform/check-equivalent.ts';
import { equalizeLayers } from '../../src/transform/cross-layer-equalization.ts';
import { foldFactors, smoothQuant } from '../../src/transform/smoothquant.ts';

const wave = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i * 12.9898 + i * i * 0.37));
const tensor = (name: string, shape: number[], seed: number) => floatTensor(name, shape, wave(shape.reduce((a, b) => a * b, 1), seed));

/** LayerNorm → (gate, up) → product → down, as language models have it, with one loud channel. */
function block() {
  const g = new GraphBuilder('block', 17);
  const x = g.input('x', 'f32', ['n', 8]);
  const gamma = wave(8, 3).map((v, i) => (i === 2 ? 60 : v + 1.5));
  const norm = g.op('LayerNormalization', [x, g.weight(floatTensor('gamma', [8], gamma)), g.weight(tensor('beta', [8], 4))], { epsilon: float(1e-5) });
  const gate = g.op('Sigmoid', [g.op('MatMul', [norm, g.weight(tensor('gate', [8, 6], 5))])]);
  const up = g.op('MatMul', [norm, g.weight(tensor('up', [8, 6], 6))]);
  g.output(g.op('MatMul', [g.op('Mul', [gate, up]), g.weight(tensor('down', [6, 8], 7))]), 'y', 'f32', ['n', 8]);
  return { graph: g.graph(), norm };
}

/** Convolution, depthwise convolution, pointwise convolution with ReLU between, weights of very unequal rows. */
function convolutions() {
  const g = new GraphBuilder('convolutions', 17);
  const x = g.input('x', 'f32', [1, 3, 5, 5]);
  const uneven = wave(4 * 27, 1).map((v, i) => v * 10 ** (Math.floor(i / 27) - 2));
  const first = g.op('Relu', [g.op('Conv', [x, g.weight(floatTensor('w1', [4, 3, 3, 3], uneven)), g.weight(tensor('b1', [4], 2))])]);
  const depthwise = g.op('Relu', [g.op('Conv', [first, g.weight(tensor('w2', [4, 1, 2, 2], 3)), g.weight(tensor('b2', [4], 4))], { group: int(4) })]);
  g.output(g.op('Conv', [depthwise, g.weight(tensor('w3', [5, 4, 1, 1], 5))], { kernel_shape: ints([1, 1]) }), 'y', 'f32', [1, 5, 2, 2]);
  return g.graph();
}
const image = { x: f32([1, 3, 5, 5], wave(75, 8)) };
const rowsIn = { x: f32([20, 8], wave(160, 8)) };

test('SmoothQuant leaves the function as it was and evens out the loud channel', async () => {
  const { graph, norm } = block();
  const sites = linearSites(graph);
  const before = await observe(graph, ortNode, [rowsIn], { moments: { sites } });
  const smoothed = await smoothQuant(graph, before.moments, { alpha: 0.5 });
  await checkEquivalent(graph, smoothed.graph, ortNode, rowsIn, 1e-5);
  assert.equal(smoothed.factors.size, 2);
  assert.deepEqual(smoothed.skipped, []);
  const after = await observe(smoothed.graph, ortNode, [rowsIn], { moments: { sites: linearSites(smoothed.graph) } });
  const spread = (values: Float32Array): number => Math.max(...values) / Math.min(...values);
  assert.ok(spread(after.moments.get(norm)!.maxAbsolute) < spread(before.moments.get(norm)!.maxAbsolute) / 3);
});

test('factors that a source cannot take are skipped and the graph stays as it was', async () => {
  const g = new GraphBuilder('raw', 17);
  const x = g.input('x', 'f32', ['n', 8]);
  g.output(g.op('MatMul', [x, g.weight(tensor('w', [8, 8], 1))]), 'y', 'f32', ['n', 8]);
  const graph = g.graph();
  const folded = await foldFactors(graph, new Map([['x', new Float32Array(8).fill(2)]]));
  assert.deepEqual(folded.skipped, ['x']);
  assert.equal(folded.graph, graph);
});

test('cross-layer equalization leaves the function as it was and makes rows and columns reach equally far', async () => {
  const graph = convolutions();
  const { graph: equal, pairs } = await equalizeLayers(graph);
  assert.equal(pairs.length, 2);
  await checkEquivalent(graph, equal, ortNode, image, 1e-5);
  const [first, depthwise, last] = await Promise.all(linearSites(equal).map((site) => site.weightMatrix()));
  const reach = (values: Float32Array): number => Math.max(...values.map(Math.abs));
  for (let c = 0; c < 4; c++) {
    const out = reach(first.slice(c * 27, (c + 1) * 27)), middle = reach(depthwise.slice(c * 4, c * 4 + 4));
    const into = reach(last.filter((_, i) => i % 4 === c));
    assert.ok(Math.abs(out / middle - 1) < 0.05 && Math.abs(middle / into - 1) < 0.05, `${out} ${middle} ${into}`);
  }
});

test('bias shift is the mean output error, group by group', () => {
  // One row per group, two columns each; errors (1, 0) and (0, 2), means (3, 5) and (7, 11).
  const shift = biasShift({ rows: 2, cols: 2, groups: 2 }, Float32Array.of(1, 0, 0, 2), new Float32Array(4), [3, 5, 7, 11]);
  assert.deepEqual([...shift], [3, 22]);
});

test('bias correction restores the mean output of damaged layers, with, without and beside a bias', async () => {
  for (const graph of [convolutions(), block().graph]) {
    const feeds = graph.name === 'block' ? rowsIn : image;
    const [site] = linearSites(graph).slice(-1);
    const weight = await site.weightMatrix();
    const damaged = weight.map((v) => Math.round(v * 2) / 2);
    const { moments } = await observe(graph, ortNode, [feeds], { moments: { sites: [site], hessian: false } });
    const shift = biasShift(site, weight, damaged, moments.get(momentKey(site))!.mean);
    const corrected = await correctBias(withMatrix(graph, site, damaged), new Map([[site.output, shift]]));
    const sums = async (g: typeof graph): Promise<number[]> => {
      const session = await ortNode.open({ bytes: await onnxBytes(g) });
      const { y } = await session.run(feeds);
      await session.dispose();
      const channels = site.rows, positions = y.data.length / channels;
      return Array.from({ length: channels }, (_, c) => {
        let sum = 0;
        for (let p = 0; p < positions; p++) sum += Number(y.data[graph.name === 'block' ? p * channels + c : c * positions + p]);
        return sum / positions;
      });
    };
    const [expected, found, wrong] = [await sums(graph), await sums(corrected), await sums(withMatrix(graph, site, damaged))];
    for (let c = 0; c < site.rows; c++) assert.ok(Math.abs(expected[c] - found[c]) < 1e-4, `channel ${c}: ${expected[c]} ${found[c]}`);
    assert.ok(expected.some((v, c) => Math.abs(v - wrong[c]) > 1e-2));
  }
});

test('a rewrite that moves the output is reported with its size', async () => {
  const { graph } = block();
  const [site] = linearSites(graph).slice(-1);
  const moved = withMatrix(graph, site, (await site.weightMatrix()).map((v) => v * 1.01));
  await assert.rejects(checkEquivalent(graph, moved, ortNode, rowsIn, 1e-4), { code: 'transform.moved' });
});
