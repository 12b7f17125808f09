import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainFeedback, wasmFeedback, type Moment } from '../../src/engine/kernels/gemm.ts';
import { gram } from '../../src/numeric/matrix.ts';

const sample = (count: number, seed: number) =>
  Float32Array.from({ length: count }, (_, i) => ((31 * i * i + 17 * i + seed) % 257) / 128 - 1);

function moment(size: number): Moment {
  const values = gram(sample((size + 7) * size, 11), size + 7, size);
  const order = Uint32Array.from({ length: size }, (_, i) => (i * 7) % size);
  return { values, size, order, damping: 0.25 };
}

for (const size of [1, 2, 4, 13, 71, 151, 300]) {
  test(`factor of order ${size} has the same bits in WASM and in the plain twin`, () => {
    const damped = moment(size);
    assert.deepEqual(wasmFeedback.factor(damped), plainFeedback.factor(damped));
  });
}

test('feedback gives the same bits in WASM, in the plain twin and in any split of its range', () => {
  const upper = plainFeedback.factor(moment(300));
  const plain = plainFeedback.tile(upper, 3);
  const fast = wasmFeedback.tile(upper, 3);
  const split = wasmFeedback.tile(upper, 3);
  for (const tile of [plain, fast, split]) {
    tile.weights.set(sample(tile.weights.length, 3));
    tile.errors.set(sample(tile.errors.length, 5));
  }
  plain.feedback(70, 75, 0, 280);
  fast.feedback(70, 75, 0, 280);
  for (const [from, to] of [[0, 3], [3, 259], [259, 280]]) split.feedback(70, 75, from, to);
  assert.deepEqual(fast.weights, plain.weights);
  assert.deepEqual(split.weights, plain.weights);
});

test('a moment that is not positive definite is refused by the kernel as by its twin', () => {
  const bad: Moment = { values: Float64Array.of(1, 2, 2, 1), size: 2, order: Uint32Array.of(0, 1), damping: 0 };
  assert.throws(() => plainFeedback.factor(bad), { code: 'cholesky.notPositive' });
  assert.throws(() => wasmFeedback.factor(bad), { code: 'cholesky.notPositive' });
});
