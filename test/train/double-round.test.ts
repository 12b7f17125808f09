import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpret } from '../../src/engine/interpreter/interpret.ts';
import { float, GraphBuilder, int, string } from '../../src/graph/build.ts';
import { compositeDomain, lower } from '../../src/graph/composite.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import { scaleRateFactor, widthFactor } from '../../src/train/adaptive-rates.ts';
import { composites } from '../../src/train/composites/index.ts';

async function read(values: readonly number[], scale: number, width: number, rule: 'round' | 'floor' | 'direct' = 'round') {
  const g = new GraphBuilder('read', 21);
  const one = (name: string): string => g.input(name, 'f32', []);
  const inputs = [g.input('x', 'f32', [values.length]), one('scale'), one('factor'), one('low'), one('high')];
  const y = g.op('DoubleRound', inputs, { stored: int(8), rule: string(rule), count: float(4) }, { domain: compositeDomain });
  g.output(y, 'y', 'f32', [values.length]);
  g.output(g.op('ReduceSum', [y], { keepdims: int(0) }), 'loss', 'f32', []);
  const { graph, gradients } = await gradient(g.graph(), 'loss', ['x', 'scale'], { composites });
  const [dx, ds] = [gradients.get('x')!, gradients.get('scale')!];
  const outputs = [graph.outputs[0], ...[dx, ds].map((name) => ({ name, type: 'f32' as const, shape: undefined }))];
  const number = (value: number) => ({ type: 'f32' as const, shape: [], data: Float64Array.of(value) });
  const result = await interpret(lower({ ...graph, outputs }, composites), {
    x: { type: 'f32', shape: [values.length], data: Float64Array.from(values) }, scale: number(scale),
    factor: number(rule === 'direct' ? 1 : 2 ** (8 - width)), low: number(-(2 ** (width - 1))), high: number(2 ** (width - 1) - 1),
  });
  return { y: [...result.y.data], dx: [...result[dx].data], ds: result[ds].data[0] };
}

const near = (found: readonly number[], expected: readonly number[]): void =>
  expected.forEach((value, i) => assert.ok(Math.abs(found[i] - value) < 1e-9, `${found} against ${expected}`));

test('weights stored at 8 bits with scale 0.01 are read as the method card has them', async () => {
  const weights = [0.6349, -1.28, 1.27, 0.24, 0.08, -0.95];
  near((await read(weights, 0.01, 8)).y, [0.63, -1.28, 1.27, 0.24, 0.08, -0.95]);
  near((await read(weights, 0.01, 6)).y.slice(0, 3), [0.64, -1.28, 1.24]);
  near((await read(weights, 0.01, 4)).y, [0.64, -1.28, 1.12, 0.32, 0, -0.96]);
  near((await read(weights, 0.01, 2)).y.slice(0, 3), [0.64, -1.28, 0.64]);
  near((await read(weights, 0.01, 4, 'floor')).y.slice(0, 1), [0.48]);
  near((await read([0.6349], 0.16, 4, 'direct')).y, [0.64]);
});

test('gradients are those of learned step sizes at the coarse step', async () => {
  // 0.24 / 0.16 = 1.5 lies inside, 2 / 0.16 above 7, −2 / 0.16 below −8: slopes 2 − 1.5, 7 and −8 by √(4 · 7).
  const { dx, ds } = await read([0.24, 2, -2], 0.01, 4);
  near(dx, [1, 0, 0]);
  near([ds], [(0.5 + 7 - 8) / Math.sqrt(28)]);
});

test('rates of scales fall with the width', () => {
  near([0, 1, 2, 3, 4, 5, 6].map(widthFactor), [1, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001]);
});

test('rates of scales fall with their gradients, never below zero', () => {
  near([scaleRateFactor(2, 0.1, [Float32Array.of(0.0625, -0.015625), Float32Array.of(-0.03125)])], [0.1 * (0.1 - 0.046875) / 0.1]);
  assert.equal(scaleRateFactor(0, 5e-4, [Float32Array.of(3)]), 0);
});
