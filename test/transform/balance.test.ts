/** Channel balancing: factors with known values, and a function that stays what it was wherever the division goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ortNode } from '../../src/engine/ort-node.ts';
import { f32, i64 } from '../../src/engine/tensor.ts';
import { GraphBuilder } from '../../src/graph/build.ts';
import { linearSites } from '../../src/graph/linear.ts';
import { maximaDrift, movingMean, observeChannelMaxima, windowOf } from '../../src/observe/channel-maxima.ts';
import { openGraph } from '../../src/observe/taps.ts';
import { floatTensor } from '../../src/tensor-ref.ts';
import { balanceFactors, balanceInputs } from '../../src/transform/balance.ts';

const close = (found: ArrayLike<number>, expected: readonly number[], tolerance: number): void =>
  expected.forEach((value, i) => assert.ok(Math.abs(found[i] - value) <= tolerance, `${found[i]} is not ${value}`));

test('factors are a^α / w^(1−α)', () => {
  close(balanceFactors([16, 1], [1, 1], 0.11), [1.356604, 1], 1e-6);
  close(balanceFactors([16, 1], [1, 1], 0.3), [2.297397, 1], 1e-6);
  close(balanceFactors([16, 1], [1, 1], 0.5), [4, 1], 1e-6);
  close(balanceFactors([0, 4], [1, 0.25], 0.5), [Math.sqrt(1e-5), 4], 1e-6);
});

test('a later batch moves the mean by one part in twenty', () => {
  close(movingMean(movingMean(undefined, Float64Array.of(10), 0.95), Float64Array.of(20), 0.95), [10.5], 1e-12);
});

test('windows hold both of their ends, and nothing else', () => {
  const windows = { input: 't', ranges: [[0, 500], [501, 1000]] } as const;
  assert.equal(windowOf(500, windows), 0);
  assert.equal(windowOf(501, windows), 1);
  assert.throws(() => windowOf(1001, windows), /lies in no window/);
});

/** x [N, 2, 2] → tokens → y; nothing before the product can take a division. */
function plain() {
  const g = new GraphBuilder('plain', 21);
  const x = g.input('x', 'f32', ['N', 2, 2]);
  g.input('t', 'i64', ['N']);
  const rows = g.op('Reshape', [x, g.ints([-1, 2])], {}, { outputs: ['rows'] }) as unknown as string;
  const first = g.op('MatMul', [rows, g.weight(floatTensor('a', [2, 2], Float32Array.of(1, 2, 3, 4)))]);
  const second = g.op('MatMul', [rows, g.weight(floatTensor('b', [2, 1], Float32Array.of(-1, 0.5)))]);
  g.output(g.op('Add', [first, second]), 'y', 'f32', undefined);
  return g.graph();
}
const feeds = { x: f32([2, 2, 2], Float32Array.of(1, -8, 3, 2, 0.5, 4, -0.25, 1)), t: i64([2], [10, 900]) };

test('maxima are of tokens of one sample, windows keep theirs apart', async () => {
  const graph = plain();
  const all = await observeChannelMaxima(graph, ortNode, [feeds], linearSites(graph));
  close(all.get('rows')![0], [(3 + 0.5) / 2, (8 + 4) / 2], 1e-6);
  const parted = await observeChannelMaxima(graph, ortNode, [feeds], linearSites(graph), { windows: { input: 't', ranges: [[0, 500], [501, 999]] } });
  close(parted.get('rows')![0], [3, 8], 1e-6);
  close(parted.get('rows')![1], [0.5, 4], 1e-6);
  assert.equal(maximaDrift([Float32Array.of(1, 2, 4), Float32Array.of(10, 20, 40)]), 1);
  await assert.rejects(observeChannelMaxima(graph, ortNode, [feeds], linearSites(graph), { windows: { input: 't', ranges: [[0, 950], [951, 999]] } }), /no sample lies in the window/);
});

test('one multiplication serves all readers of a value, and the function stays', async () => {
  const graph = plain();
  const balanced = await balanceInputs(graph, new Map([['rows', Float32Array.of(0.5, 4)]]));
  assert.equal(balanced.nodes.filter(({ op }) => op === 'Mul').length, 1);
  assert.deepEqual(Array.from(await linearSites(balanced).find(({ id }) => id === 'a')!.weightMatrix()), [0.5, 12, 1, 16]);
  for (const candidate of [graph, balanced]) {
    const session = await openGraph(candidate, ortNode);
    const { y } = await session.run(feeds);
    close(y.data as Float32Array, [1 - 24 - 5, 2 - 32 - 5, 3 + 6 - 2, 6 + 8 - 2], 1e-5);
    await session.dispose();
  }
});
