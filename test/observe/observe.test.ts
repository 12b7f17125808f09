import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32 } from '../../src/engine/tensor.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { GraphBuilder, int, ints } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { Histogram } from '../../src/observe/histogram.ts';
import { momentKey } from '../../src/observe/moments.ts';
import { observe } from '../../src/observe/observe.ts';
import { entropyRange, mseRange, percentileRange } from '../../src/observe/range-methods.ts';

function linear() {
  const g = new GraphBuilder('linear', 17);
  const x = g.input('x', 'f32', ['n', 2]);
  const h = g.op('Relu', [g.op('MatMul', [x, g.weight(floatTensor('w', [2, 2], Float32Array.of(1, 0, 0, -1)))])]);
  g.output(g.op('Neg', [h]), 'y', 'f32', ['n', 2]);
  return { graph: g.graph(), h };
}
const batches = () => [f32([2, 2], Float32Array.of(1, 2, 3, 4)), f32([1, 2], Float32Array.of(-5, -6))].map((x) => ({ x }));

test('moments of two batches are those of all rows', async () => {
  const { graph } = linear();
  const sites = linearSites(graph);
  const { moments } = await observe(graph, ortNode, batches, { moments: { sites } });
  const seen = moments.get(momentKey(sites[0]))!;
  assert.equal(seen.count, 3);
  // X = (1 2; 3 4; −5 −6): XᵀX = (35 44; 44 56)
  assert.deepEqual([...seen.hessian!], [35 / 3, 44 / 3, 44 / 3, 56 / 3]);
  assert.deepEqual([...seen.mean], [-1 / 3, 0]);
  assert.deepEqual([...seen.meanAbsolute], [3, 4]);
  assert.deepEqual([...seen.maxAbsolute], [5, 6]);
});

test('ranges are those of inner values and inputs, with zero inside', async () => {
  const { graph, h } = linear();
  const { ranges } = await observe(graph, ortNode, batches, { ranges: { values: ['x', h] } });
  assert.deepEqual(ranges.get('x'), { low: -6, high: 4, min: -6, max: 4, count: 6 });
  assert.deepEqual(ranges.get(h), { low: 0, high: 6, min: 0, max: 6, count: 6 });
});

test('averaged extremes are those of mini-batches of eight samples; samples that come one by one are put together', async () => {
  const { graph } = linear();
  const averaged = async (parts: readonly (readonly number[])[]) => {
    const { ranges } = await observe(graph, ortNode, () => parts.map((values) => ({ x: f32([values.length / 2, 2], Float32Array.from(values)) })), { ranges: { values: ['x'], method: 'ema', momentum: 0.5 } });
    return ranges.get('x')!;
  };
  const eight = (value: number) => [value, ...Array<number>(15).fill(0)];
  // (0 … 4) and (−6 … 0) at equal weight.
  const expected = { low: -3, high: 2, min: -6, max: 4, count: 32 };
  assert.deepEqual(await averaged([eight(4), eight(-6)]), expected);
  assert.deepEqual(await averaged([...eight(4), ...eight(-6)].reduce<number[][]>((pairs, value, i) => (i % 2 === 0 ? [...pairs, [value]] : [...pairs.slice(0, -1), [...pairs.at(-1)!, value]]), [])), expected);
  // Two samples are all there is; three that are left over only widen what was seen.
  assert.deepEqual(await averaged([[1, 2], [-5, -6]]), { low: -6, high: 2, min: -6, max: 2, count: 4 });
  assert.deepEqual(await averaged([eight(4), [-6, 0]]), { low: 0, high: 4, min: -6, max: 4, count: 18 });
});

for (const [group, channels] of [[1, 2], [2, 2]] as const) {
  test(`moments of a convolution with ${group} groups are those of its padded, strided patches`, async () => {
    const g = new GraphBuilder('conv', 17);
    const x = g.input('x', 'f32', [1, channels, 3, 3]);
    const w = floatTensor('w', [2, channels / group, 2, 2], new Float32Array(8 * channels / group).fill(1));
    g.output(g.op('Conv', [x, g.weight(w)], { group: int(group), strides: ints([2, 2]), pads: ints([0, 0, 1, 1]), kernel_shape: ints([2, 2]) }), 'y', 'f32', [1, 2, 2, 2]);
    const graph = g.graph();
    const sites = linearSites(graph);
    const image = Float32Array.from({ length: 9 * channels }, (_, i) => i + 1);
    const { moments } = await observe(graph, ortNode, () => [{ x: f32([1, channels, 3, 3], image) }], { moments: { sites } });
    const seen = moments.get(momentKey(sites[0]))!;
    const patches: number[][] = [];
    for (let py = 0; py < 4; py += 2) for (let px = 0; px < 4; px += 2) {
      const patch: number[] = [];
      for (let c = 0; c < channels; c++) for (let ky = 0; ky < 2; ky++) for (let kx = 0; kx < 2; kx++) {
        const [row, col] = [py + ky, px + kx];
        patch.push(row < 3 && col < 3 ? image[c * 9 + row * 3 + col] : 0);
      }
      if (group === 1) patches.push(patch);
      else patches.push(patch.slice(0, 4), patch.slice(4));
    }
    const cols = patches[0].length;
    assert.equal(seen.count, patches.length);
    for (let i = 0; i < cols; i++) for (let j = 0; j < cols; j++) {
      const expected = patches.reduce((sum, p) => sum + p[i] * p[j], 0) / patches.length;
      assert.ok(Math.abs(seen.hessian![i * cols + j] - expected) < 1e-9);
    }
    assert.equal(seen.mean.length, 4 * channels);
  });
}

test('a histogram that widens keeps every count on its side of every bin edge', () => {
  const grown = new Histogram('x'), whole = new Histogram('x');
  const values = Float64Array.from({ length: 2000 }, (_, i) => Math.sin(i * i) * (i < 1000 ? 0.01 : 37));
  grown.add(values.subarray(0, 1000));
  grown.add(values.subarray(1000));
  whole.add(values);
  assert.deepEqual(grown.bins, whole.bins);
  assert.equal(grown.reach, 64);
});

test('percentile, entropy and MSE ranges leave a lone outlier out', () => {
  const h = new Histogram('x');
  // A triangular distribution on (−1, 1) from an equidistributed sequence, and one value at 20.
  h.add(Float64Array.from({ length: 100000 }, (_, i) => ((i * 0.618034) % 1) - ((i * 0.754878) % 1)));
  h.add([20]);
  for (const range of [percentileRange(h, 99.9), entropyRange(h), mseRange(h, 15)]) {
    assert.ok(range.high > 0.3 && range.high < 8, `high ${range.high}`);
    assert.ok(range.low < -0.3 && range.low >= -1.01, `low ${range.low}`);
  }
});

test('MSE range is never worse than the extremes at its own measure', () => {
  const h = new Histogram('x');
  h.add(Float64Array.from({ length: 1000 }, (_, i) => (i - 500) / 500));
  const { low, high } = mseRange(h, 255);
  assert.ok(low <= -0.9 && high >= 0.9);
});

test('values that the graph does not compute, NaN and no data are refused', async () => {
  const { graph } = linear();
  await assert.rejects(observe(graph, ortNode, batches, { ranges: { values: ['nothing'] } }), { code: 'outputs.unknownValue' });
  await assert.rejects(observe(graph, ortNode, () => [], { ranges: { values: ['x'] } }), { code: 'observe.noBatches' });
  assert.throws(() => new Histogram('x').add([NaN]), { code: 'histogram.notFinite' });
});
