/** The transform on SIMD gives the bits of the plain one, and is its own inverse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hadamardFast, hadamardKernel } from '../../src/engine/kernels/hadamard.ts';
import { hadamardTransform } from '../../src/numeric/hadamard.ts';
import { normal } from '../../src/numeric/random.ts';

const values = Float32Array.from({ length: 3 * 2 ** 15 }, (_, i) => normal(1, 0, i) * (i % 97 === 0 ? 1e6 : 1));

test('runs of every order have the bits of the plain transform', () => {
  for (const order of [1, 2, 4, 8, 16, 32, 64, 128, 1024, 2048, 2 ** 15, 12, 192]) assert.deepEqual(hadamardFast(values, order), hadamardTransform(values, order), `order ${order}`);
  const long = Float32Array.from({ length: 2 ** 18 }, (_, i) => normal(2, 0, i));
  assert.deepEqual(hadamardFast(long, 2 ** 18), hadamardTransform(long, 2 ** 18));
  assert.throws(() => hadamardFast(values, 7), /no Hadamard matrix of order 7/);
  assert.throws(() => hadamardFast(new Float32Array(6), 4), /do not divide into runs of 4/);
});

test('one large channel is shared out among all, and comes back', () => {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const run = hadamardKernel(memory);
  const x = new Float32Array(memory.buffer, 0, 64);
  x[5] = 8;
  run(0, 1, 64, 1024);
  assert.ok(x.every((v) => Math.abs(v) === 1));
  run(0, 1, 64, 1024);
  assert.deepEqual([...x], Array.from({ length: 64 }, (_, i) => (i === 5 ? 8 : 0)));
});
