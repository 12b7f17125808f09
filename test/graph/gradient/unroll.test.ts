import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../../src/engine/ort-node.ts';
import { f32 } from '../../../src/engine/tensor.ts';
import type { Attributes } from '../../../src/graph/gradient/tape.ts';
import { GraphBuilder, int, string, strings } from '../../../src/graph/build.ts';
import { gradient } from '../../../src/graph/gradient/gradient.ts';
import { unrolled } from '../../../src/graph/gradient/unroll.ts';
import { inferTypes } from '../../../src/graph/infer.ts';
import { linearSites } from '../../../src/graph/linear.ts';
import { normal } from '../../../src/numeric/random.ts';
import { openGraph } from '../../../src/observe/taps.ts';
import { floatTensor } from '../../../src/tensor-ref.ts';
import { trainableWeights } from '../../../src/train/parameters.ts';
import { assertClose, differences, gradients } from './check.ts';

const values = (count: number, stream: number): Float32Array => Float32Array.from({ length: count }, (_, i) => 0.5 * normal(4, stream, i));
const [steps, batch, width, hidden] = [3, 2, 3, 2];
const gatesOf = { LSTM: 4, GRU: 3, RNN: 1 } as const;

interface Case { readonly op: keyof typeof gatesOf; readonly name: string; readonly attributes?: Attributes; readonly both?: boolean; readonly start?: boolean; readonly noBias?: boolean }
const cases: readonly Case[] = [
  { op: 'LSTM', name: 'forward, from given states', start: true },
  { op: 'LSTM', name: 'both ways', both: true },
  { op: 'GRU', name: 'backward', attributes: { direction: string('reverse') } },
  { op: 'GRU', name: 'multiplied before it is reset, both ways', both: true, start: true, attributes: { linear_before_reset: int(1) } },
  { op: 'RNN', name: 'without biases, other activation', noBias: true, attributes: { activations: strings(['Relu']) } },
];

/** The node with its three outputs weighed into a loss. */
function network({ op, attributes = {}, both = false, start = false, noBias = false }: Case) {
  const g = new GraphBuilder('recurrent', 21);
  const [ways, gates] = [both ? 2 : 1, gatesOf[op]];
  const shapes: Record<string, readonly number[]> = { x: [steps, batch, width], w: [ways, gates * hidden, width], r: [ways, gates * hidden, hidden], b: [ways, 2 * gates * hidden], h: [ways, batch, hidden], c: [ways, batch, hidden] };
  const used = ['x', 'w', 'r', ...(noBias ? [] : ['b']), ...(start ? ['h', ...(op === 'LSTM' ? ['c'] : [])] : [])];
  for (const name of used) g.input(name, 'f32', shapes[name]);
  const inputs = ['x', 'w', 'r', noBias ? '' : 'b', '', start ? 'h' : '', ...(op === 'LSTM' ? [start ? 'c' : ''] : [])];
  const outputs = g.op(op, inputs, { hidden_size: int(hidden), ...(both ? { direction: string('bidirectional') } : {}), ...attributes }, { outputs: op === 'LSTM' ? 3 : 2 });
  const sizes = [[steps, ways, batch, hidden], [ways, batch, hidden], [ways, batch, hidden]];
  const sums = outputs.map((output, i) => g.op('ReduceSum', [g.op('Mul', [output, g.weight(floatTensor(`weigh${i}`, sizes[i], values(sizes[i].reduce((a, n) => a * n, 1), 50 + i)))])], { keepdims: int(0) }));
  g.output(g.op('Sum', sums), 'loss', 'f32', []);
  const feeds = Object.fromEntries(used.map((name, i) => [name, { type: 'f32' as const, shape: shapes[name], data: Float64Array.from(values(shapes[name].reduce((a, n) => a * n, 1), i)) }]));
  return { graph: g.graph(), used, feeds };
}

for (const item of cases) {
  test(`${item.op}, ${item.name}: written out it gives what the engine gives, and has its gradients`, async () => {
    const { graph, used, feeds } = network(item);
    const open = unrolled(await inferTypes(graph))!;
    const [expected, found] = await Promise.all([graph, open].map(async (one) => {
      const session = await openGraph(one, ortNode);
      const { loss } = await session.run(Object.fromEntries(used.map((name) => [name, f32(feeds[name].shape, Float32Array.from(feeds[name].data))])));
      await session.dispose();
      return Number(loss.data[0]);
    }));
    assert.ok(Math.abs(found - expected) < 1e-5, `${found} instead of ${expected}`);
    const { exact, engine } = await gradients(graph, 'loss', used, feeds);
    for (const name of used) {
      assertClose(exact.get(name)!.data, await differences(open, 'loss', name, feeds), 1e-6, name);
      assertClose(engine!.get(name)!.data, exact.get(name)!.data, 1e-4, name);
    }
  });
}

test('recurrent weights are trainable, and settings without a rule are named', async () => {
  const g = new GraphBuilder('keywords', 21);
  const weight = (name: string, shape: readonly number[]): string => g.weight(floatTensor(name, shape, values(shape.reduce((a, n) => a * n, 1), 1)));
  const [, last] = g.op('GRU', [g.input('x', 'f32', [steps, batch, width]), weight('w', [1, 6, width]), weight('r', [1, 6, hidden]), weight('b', [1, 12])], { hidden_size: int(hidden) }, { outputs: 2 });
  g.output(g.op('ReduceSum', [last], { keepdims: int(0) }), 'loss', 'f32', []);
  assert.deepEqual(trainableWeights(g.graph()), { matrices: ['w', 'r'], others: ['b'] });
  assert.equal(linearSites(g.graph()).length, 0);
  const clipped = network({ op: 'GRU', name: 'clipped', attributes: { clip: { kind: 'float', value: 1 } } });
  await assert.rejects(gradient(clipped.graph, 'loss', ['w']), { code: 'unroll.setting', message: /no gradient rule for GRU with clip/ });
});
