/** Convolutions and means are linear: ⟨dx, x′⟩ = ⟨dy, f(x′)⟩ for every x′, whatever strides, dilations, padding and groups. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { interpret, type Value64 } from '../../../src/engine/interpreter/interpret.ts';
import { GraphBuilder, int, ints, string } from '../../../src/graph/build.ts';
import { gradient } from '../../../src/graph/gradient/gradient.ts';
import type { Attribute } from '../../../src/graph/graph.ts';
import { inferTypes } from '../../../src/graph/infer.ts';
import { Random } from './random.ts';

const axis = fc.record({
  size: fc.integer({ min: 1, max: 6 }), kernel: fc.integer({ min: 1, max: 3 }), stride: fc.integer({ min: 1, max: 3 }), dilation: fc.integer({ min: 1, max: 2 }),
  begin: fc.integer({ min: 0, max: 2 }), end: fc.integer({ min: 0, max: 2 }), extra: fc.integer({ min: 0, max: 2 }),
});
const layer = fc.record({
  op: fc.constantFrom('Conv', 'ConvTranspose', 'AveragePool'), axes: fc.array(axis, { minLength: 1, maxLength: 3 }),
  batch: fc.integer({ min: 1, max: 2 }), group: fc.integer({ min: 1, max: 3 }), into: fc.integer({ min: 1, max: 2 }), out: fc.integer({ min: 1, max: 2 }),
  auto: fc.constantFrom('NOTSET', 'NOTSET', 'NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'), flag: fc.boolean(),
});

const random = (shape: readonly number[], seed: number): Value64 =>
  ({ type: 'f32', shape, data: Float64Array.from(new Random(seed).floats(shape.reduce((a, b) => a * b, 1))) });
const dot = (a: Value64, b: Value64): number => a.data.reduce((sum, x, i) => sum + x * b.data[i], 0);

test('random convolutions, transposed convolutions and means pass back their adjoint', async () => {
  await fc.assert(fc.asyncProperty(layer, async ({ op, axes, batch, group, into, out, auto, flag }) => {
    const isPool = op === 'AveragePool';
    const kernel = axes.map((a) => a.kernel);
    // A pool never pads by its whole window, and output_padding stays below the stride.
    const pads = ['begin', 'end'].flatMap((side) => axes.map((a) => Math.min(a[side as 'begin'], isPool ? a.kernel - 1 : 2)));
    const attributes: Record<string, Attribute> = {
      strides: ints(axes.map((a) => a.stride)), dilations: ints(axes.map((a) => a.dilation)),
      ...(auto === 'NOTSET' ? { pads: ints(pads) } : { auto_pad: string(auto) }),
      ...(isPool ? { kernel_shape: ints(kernel), count_include_pad: int(flag ? 1 : 0) } : { group: int(group) }),
      ...(op === 'ConvTranspose' && auto === 'NOTSET' && flag ? { output_padding: ints(axes.map((a) => Math.min(a.extra, a.stride - 1))) } : {}),
    };
    const x = [batch, group * into, ...axes.map((a) => a.size)];
    const w = op === 'Conv' ? [group * out, into, ...kernel] : [group * into, out, ...kernel];
    const g = new GraphBuilder('layer', 21);
    g.input('x', 'f32', x);
    if (!isPool) g.input('w', 'f32', w);
    g.output(g.op(op, isPool ? ['x'] : ['x', 'w'], attributes), 'y');
    const graph = g.graph();
    const y = (await inferTypes(graph)).outputs[0].shape as number[];
    fc.pre(y.every((dim) => dim > 0));
    const wrt = isPool ? ['x'] : ['x', 'w'];
    const made = await gradient({ ...graph, inputs: [...graph.inputs, { name: 'dy', type: 'f32', shape: y }] }, 'y', wrt, { seed: 'dy' });
    const feeds: Record<string, Value64> = { x: random(x, 1), ...(isPool ? {} : { w: random(w, 2) }) };
    const dy = random(y, 3);
    const found = await interpret({ ...made.graph, outputs: wrt.map((name) => ({ name: made.gradients.get(name)!, type: 'f32', shape: undefined })) }, { ...feeds, dy });
    for (const name of wrt) {
      const other = random(feeds[name].shape, 4);
      const forward = await interpret(graph, { ...feeds, [name]: other });
      // A window that sees only padding has no mean.
      if (!forward.y.data.every(Number.isFinite)) continue;
      assert.ok(Math.abs(dot(found[made.gradients.get(name)!], other) - dot(dy, forward.y)) < 1e-5, name);
    }
  }), { seed: 17, numRuns: 150 });
});
