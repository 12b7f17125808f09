import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpret } from '../../src/engine/interpreter/interpret.ts';
import { float, GraphBuilder, int } from '../../src/graph/build.ts';
import { compositeDomain, lower } from '../../src/graph/composite.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { composites } from '../../src/train/composites/index.ts';

const table = composites;

function graphOf(count: number, codes: number, symmetric: boolean): Graph {
  const g = new GraphBuilder('range', 21);
  const x = g.input('x', 'f32', [count]);
  const lo = g.input('lo', 'f32', []);
  const hi = g.input('hi', 'f32', []);
  const made = g.op('RangeQuantize', [x, lo, hi], { codes: float(codes), symmetric: int(symmetric ? 1 : 0) }, { domain: compositeDomain });
  g.output(made, 'y', 'f32', [count]);
  g.output(g.op('ReduceSum', [made], { keepdims: int(0) }), 'loss', 'f32', []);
  return g.graph();
}

async function quantize(values: readonly number[], lo: number, hi: number, codes: number, symmetric = false): Promise<{ y: number[]; dx: number[] }> {
  const { graph, gradients } = await gradient(graphOf(values.length, codes, symmetric), 'loss', ['x'], { composites: table });
  const name = gradients.get('x')!;
  const result = await interpret(lower({ ...graph, outputs: [graph.outputs[0], { name, type: 'f32', shape: undefined }] }, table), {
    x: { type: 'f32', shape: [values.length], data: Float64Array.from(values) },
    lo: { type: 'f32', shape: [], data: Float64Array.of(lo) }, hi: { type: 'f32', shape: [], data: Float64Array.of(hi) },
  });
  return { y: [...result.y.data], dx: [...result[name].data] };
}

const near = (found: readonly number[], expected: readonly number[]): void =>
  expected.forEach((value, i) => assert.ok(Math.abs(found[i] - value) < 1e-6, `${found} against ${expected}`));

test('an affine range of −1 to 3 has step 4/255 and zero point 64, and zero is exact', async () => {
  near((await quantize([0, -1, 3, 10], -1, 3, 255)).y, [0, -1.0039216, 2.9960784, 2.9960784]);
});

test('a range of 2 to 6 is widened to hold zero', async () => {
  near((await quantize([3], 2, 6, 255)).y, [3.0117647]);
});

test('a symmetric range of 0.5 has step 0.5/127 and never code −128', async () => {
  near((await quantize([-0.5, 0.1, -0.6], -0.5, 0.4, 255, true)).y, [-0.5, 25 * 0.0039370079, -0.5]);
});

test('a range of zero width gives no NaN', async () => {
  assert.deepEqual((await quantize([0, 0], 0, 0, 255)).y, [0, 0]);
  assert.deepEqual((await quantize([0, 0], 0, 0, 15, true)).y, [0, 0]);
});

test('the gradient passes inside of the range, ends included', async () => {
  assert.deepEqual((await quantize([-2, -1, 0, 3, 4], -1, 3, 255)).dx, [0, 1, 1, 1, 0]);
});
