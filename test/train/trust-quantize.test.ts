/** Figures of the published quantizer: exact integrals over a normal distribution, vectors worked out by hand, masks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { interpret } from '../../src/engine/interpreter/interpret.ts';
import { GraphBuilder, int } from '../../src/graph/build.ts';
import { lower } from '../../src/graph/composite.ts';
import { extend } from '../../src/graph/extend.ts';
import { gradient } from '../../src/graph/gradient/gradient.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { inverseNormal } from '../../src/numeric/random.ts';
import { appendHadamard } from '../../src/train/composites/block-hadamard.ts';
import { composites } from '../../src/train/composites/index.ts';
import { appendTrustQuantize, type TrustOptions } from '../../src/train/composites/trust-quantize.ts';
import { assertClose, gradients } from '../graph/gradient/check.ts';

/** The sum of a quantized vector: its gradient is the mask, rotated back where the vector was rotated. */
function quantizer(options: TrustOptions, shape: readonly number[], { axis = -1, order = 0 } = {}): { readonly graph: Graph; readonly quantized: string } {
  const g = new GraphBuilder('quantizer', 21);
  g.input('x', 'f32', shape);
  g.output(g.op('Identity', ['x']), 'same', 'f32', shape);
  const width = shape.at(axis)!;
  const { graph, result } = extend(g.graph(), (tape) => {
    const value = order === 0 ? 'x' : appendHadamard(tape, 'x', { axis, order, width });
    const quantized = appendTrustQuantize(tape, value, options, axis, width);
    tape.named('ReduceSum', [quantized], 'sum', { keepdims: int(0) });
    return quantized;
  });
  return { graph, quantized: result };
}

/** Quantized values, and the gradient of their sum, of one vector. */
async function run(options: TrustOptions, x: readonly number[]): Promise<{ readonly quantized: number[]; readonly mask: number[] }> {
  const { graph, quantized } = quantizer(options, [x.length]);
  const { graph: whole, gradients: found } = await gradient(graph, 'sum', ['x'], { composites });
  const names = [quantized, found.get('x')!];
  const values = await interpret(lower({ ...whole, outputs: names.map((name) => ({ name, type: 'f32', shape: undefined })) }, composites), { x: { type: 'f32', shape: [x.length], data: Float64Array.from(x) } });
  const [q, mask] = names.map((name) => Array.from(values[name].data, Number));
  return { quantized: q, mask };
}

test('on normal values the error and the share without gradient are those of the integrals', async () => {
  const count = 2 ** 16;
  const x = Array.from({ length: count }, (_, i) => inverseNormal((i + 0.5) / count));
  const expected = [[1, 0.36338, 0.11054], [2, 0.118846, 0.046439], [3, 0.03744, 0.019074], [4, 0.011543, 0.007329], [5, 0.003495, 0.002611], [6, 0.00104, 0.000873]];
  for (const [bits, error, masked] of expected) {
    const { quantized, mask } = await run({ bits, estimator: 'trust' }, x);
    const found = quantized.reduce((sum, q, i) => sum + (q - x[i]) ** 2, 0) / count;
    assert.ok(Math.abs(found - error) < 2e-5, `${bits} bits: error ${found}`);
    assert.ok(Math.abs(1 - mask.reduce((sum, m) => sum + m, 0) / count - masked) < 3e-5, `${bits} bits: masked ${mask.filter((m) => m === 0).length}`);
  }
});

test('a vector worked out by hand, rotated by order 4', async () => {
  const rotated = [1.25, 2.75, -2.25, 0.25];
  const cases: readonly (readonly [bits: number, quantized: readonly number[]])[] = [
    [1, [1.505974, 1.505974, -1.505974, 1.505974]], [2, [0.939662, 2.818985, -2.818985, 0.939662]], [4, [0.948988, 2.846964, -2.214305, 0.316329]],
  ];
  for (const [bits, expected] of cases) {
    const { quantized, mask } = await run({ bits, estimator: 'trust' }, rotated);
    quantized.forEach((q, i) => assert.ok(Math.abs(q - expected[i]) < 2e-6, `${bits} bits: ${q} instead of ${expected[i]}`));
    assert.deepEqual(mask, [1, 1, 1, 1]);
    const whole = quantizer({ bits, estimator: 'trust' }, [1, 4], { order: 4 });
    const lowered = lower({ ...whole.graph, outputs: [{ name: whole.quantized, type: 'f32', shape: undefined }] }, composites);
    const found = (await interpret(lowered, { x: { type: 'f32', shape: [1, 4], data: Float64Array.of(1, -2, 3, 0.5) } }))[whole.quantized].data;
    assertClose(found, expected, 1e-6, 'rotated and quantized');
  }
});

test('one far element of 128 moves too far to be trusted; a clip mask of 1.3 half ranges drops it too', async () => {
  const x = Array.from({ length: 128 }, (_, i) => (i === 5 ? 20 : i % 2 === 0 ? 1 : -1));
  const { quantized, mask } = await run({ bits: 2 }, x);
  assert.ok(Math.abs(quantized[5] - 3.0305093) < 1e-6);
  quantized.forEach((q, i) => { if (i !== 5) assert.ok(Math.abs(q - x[i] * 1.0101698) < 1e-6); });
  assert.deepEqual(mask.map((m, i) => (i === 5 ? 1 - m : m)), x.map(() => 1));
  assert.deepEqual((await run({ bits: 2, estimator: 'clip' }, x)).mask, mask);
  assert.deepEqual((await run({ bits: 2, estimator: 'plain' }, x)).mask, x.map(() => 1));
});

test('three levels are −s, 0 and s; the largest magnitude can be the range; rows of zeros stay finite', async () => {
  const s = 1.2240089519 * Math.sqrt((9 + 0.01 + 1 + 1) / 4);
  assertClose((await run({ bits: 1.585 }, [3, 0.1, -1, -1])).quantized, [s, 0, -s, -s].map((v, i) => (Math.abs([3, 0.1, -1, -1][i]) < s / 2 ? 0 : v)), 1e-6, 'ternary');
  assertClose((await run({ bits: 2, range: 'absmax', estimator: 'plain' }, [3, 0.1, -1, -2.9])).quantized, [3, 1, -1, -3], 1e-6, 'absmax');
  for (const value of (await run({ bits: 4 }, [0, 0, 0, 0])).quantized) assert.ok(Math.abs(value) <= 1e-8);
});

test('the gradient is the mask rotated back, along either axis, and the engine agrees', async () => {
  const data = Float64Array.from({ length: 16 * 3 }, (_, i) => Math.fround((i % 7 === 0 ? 6 : 1) * Math.sin(1 + i * 1.7)));
  for (const { axis, shape } of [{ axis: -1, shape: [3, 16] }, { axis: 0, shape: [16, 3] }]) {
    const { graph } = quantizer({ bits: 2 }, shape, { axis, order: 8 });
    const { exact, engine } = await gradients(graph, 'sum', ['x'], { x: { type: 'f32', shape, data } }, { composites });
    assertClose(engine!.get('x')!.data, exact.get('x')!.data, 1e-5, `axis ${axis}`);
    // By hand: h = x·H in runs of 8, mask where |q − h| is at most half a step, mask·H.
    const at = (run: number, i: number) => (axis === -1 ? run * 8 + i : ((run % 2) * 8 + i) * 3 + Math.floor(run / 2));
    const sign = (i: number, j: number) => (i.toString(2).split('').reverse().filter((bit, k) => bit === '1' && (j >> k) % 2 === 1).length % 2 === 0 ? 1 : -1);
    const runs = Array.from({ length: 6 }, (_, run) => Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => data[at(run, j)] * sign(i, j)).reduce((a, b) => a + b) / Math.sqrt(8)));
    const expected = new Float64Array(48);
    for (let row = 0; row < 3; row++) {
      const h = [...runs[2 * row], ...runs[2 * row + 1]];
      const half = 1.49353462 * Math.sqrt(h.reduce((sum, v) => sum + v * v, 0) / 16);
      const mask = h.map((v) => (Math.abs(v) <= half * (1 + 1 / 3) ? 1 : 0));
      assert.ok(mask.includes(0) || row > 0);
      for (let run = 0; run < 2; run++) for (let j = 0; j < 8; j++) expected[at(2 * row + run, j)] = Array.from({ length: 8 }, (_, i) => mask[run * 8 + i] * sign(i, j)).reduce((a, b) => a + b) / Math.sqrt(8);
    }
    assertClose(exact.get('x')!.data, expected, 1e-6, `mask rotated back, axis ${axis}`);
  }
});
