import assert from 'node:assert/strict';
import { test } from 'node:test';
import { roomFor } from '../../src/engine/kernels/optimizer.ts';
import { plainUpdates, type UpdateLoops } from '../../src/engine/kernels/optimizer-plain.ts';
import { normal } from '../../src/numeric/random.ts';

const adaptive = { shrink: 0.999, coupled: 0.01, beta1: 0.9, beta2: 0.999, size: 1e-2, spread: 3.1, epsilon: 1e-8 };
const momentum = { rate: 0.1, decay: 0.01, momentum: 0.9 };

/** What each loop does to four arrays. */
const cases: Readonly<Record<string, (loops: UpdateLoops, arrays: readonly Float32Array[]) => void>> = {
  descend: (loops, [p, g]) => loops.descend(p, g, 0.999, 0.013),
  momentum: (loops, [p, g, v]) => loops.roll(p, g, v, { ...momentum, nesterov: false }),
  nesterov: (loops, [p, g, v]) => loops.roll(p, g, v, { ...momentum, nesterov: true }),
  adam: (loops, [p, g, m, v]) => loops.adapt(p, g, m, v, adaptive),
  mean: (loops, [p, g]) => loops.mix(p, g, 0.99, 1 - 0.99),
  scale: (loops, [p]) => loops.scale(p, 1 / 3),
  squares: (loops, [p, g]) => g.fill(loops.squares(p), 0, 1),
};

/** Numbers of all sizes; the fourth array holds no negative ones. */
const start = (length: number): Float32Array[] => Array.from({ length: 4 }, (_, k) => Float32Array.from({ length }, (_, i) => {
  const value = normal(k, 1, i) * 10 ** (4 * normal(k, 2, i) - 4);
  return k === 3 ? Math.abs(value) : value;
}));

for (const [name, run] of Object.entries(cases)) {
  test(`${name}: the kernel gives the bits of the plain loop, for every length`, () => {
    for (const length of [1, 2, 3, 4, 5, 15, 16, 17, 1023]) {
      const expected = start(length);
      const room = roomFor([...expected.map((array) => array.length), 20_000]);
      const found = expected.map((array) => room.array(array.length));
      found.forEach((array, k) => array.set(expected[k]));
      assert.notEqual(room.loops, plainUpdates);
      for (let step = 0; step < 3; step++) {
        run(plainUpdates, expected);
        run(room.loops, found);
      }
      expected.forEach((array, k) => assert.deepEqual([...found[k]], [...array], `${length} numbers, array ${k}`));
    }
  });
}

test('arrays of elsewhere are taken by plain loops, and small rooms have nothing else', () => {
  const { loops, array } = roomFor([20_000]);
  const [mine, outside] = [array(5), Float32Array.of(1, 2, 3, 4, 5)];
  loops.mix(mine, outside, 1, 2);
  assert.deepEqual([...mine], [2, 4, 6, 8, 10]);
  assert.equal(roomFor([100]).loops, plainUpdates);
});
