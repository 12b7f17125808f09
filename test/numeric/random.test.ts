import { test } from 'node:test';
import assert from 'node:assert/strict';
import { inverseNormal, normal, permutation, randomBits, uniform } from '../../src/numeric/random.ts';

test('the generator gives the published answers of Threefry-2x32-20', () => {
  const rows: [[number, number], [number, number], [number, number]][] = [
    [[0, 0], [0, 0], [0x6b200159, 0x99ba4efe]],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
    [[0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], [0xc4923a9c, 0x483df7a0]],
  ];
  for (const [key, counter, expected] of rows) assert.deepEqual(randomBits(key, counter), expected);
});

test('uniforms lie in [0, 1), differ by seed, stream and index, and repeat', () => {
  const seen = new Set<number>();
  for (const seed of [0, 1]) for (const stream of [0, 7]) for (const index of [0, 1, 2 ** 33]) {
    const u = uniform(seed, stream, index);
    assert.ok(u >= 0 && u < 1);
    assert.equal(uniform(seed, stream, index), u);
    seen.add(u);
  }
  assert.equal(seen.size, 12);
});

test('normals have the moments of the standard normal', () => {
  const n = 20000;
  let sum = 0;
  let squares = 0;
  let fourth = 0;
  for (let i = 0; i < n; i++) {
    const x = normal(42, 3, i);
    sum += x;
    squares += x * x;
    fourth += x ** 4;
  }
  assert.ok(Math.abs(sum / n) < 0.03);
  assert.ok(Math.abs(squares / n - 1) < 0.04);
  assert.ok(Math.abs(fourth / n - 3) < 0.3);
});

test('normal quantiles agree with tabulated values', () => {
  const rows: [number, number][] = [
    [0.5, 0], [0.975, 1.959963984540054], [0.999, 3.090232306167813], [1e-10, -6.361340902404056], [0.025, -1.959963984540054],
    [0.75, 0.6744897501960817],
  ];
  for (const [p, x] of rows) assert.ok(Math.abs(inverseNormal(p) - x) <= 1e-14 * Math.max(1, Math.abs(x)), `${p}`);
});

test('a permutation holds every index once', () => {
  const order = permutation(5, 0, 100);
  assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i));
  assert.notDeepEqual(order, permutation(6, 0, 100));
});
