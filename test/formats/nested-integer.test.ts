import assert from 'node:assert/strict';
import { test } from 'node:test';
import { narrowCodes } from '../../src/formats/nested-integer.ts';
import { rne } from '../../src/numeric/rounding.ts';

const widths = [8, 6, 4, 2] as const;
const read = (code: number, rule?: 'round' | 'floor'): number[] => widths.map((low) => narrowCodes(Int8Array.of(code), 8, low, rule)[0]);

test('codes of weights read at 8, 6, 4 and 2 bits are those of the method card', () => {
  // Scale 0.01: 0.6349, −1.28, 1.27, 0.24, −0.95.
  assert.deepEqual(read(63), [63, 16, 4, 1]);
  assert.deepEqual(read(-128), [-128, -32, -8, -2]);
  assert.deepEqual(read(127), [127, 31, 7, 1]);
  assert.deepEqual(read(24).slice(0, 3), [24, 6, 2]);
  assert.deepEqual(read(-95), [-95, -24, -6, -1]);
  assert.equal(narrowCodes(Int8Array.of(8), 8, 4)[0], 0);
});

test('a shift rounds down', () => {
  assert.equal(narrowCodes(Int8Array.of(63), 8, 4, 'floor')[0], 3);
  assert.equal(narrowCodes(Int8Array.of(24), 8, 4, 'floor')[0], 1);
  assert.equal(narrowCodes(Int8Array.of(-1), 8, 4, 'floor')[0], -1);
});

test('at the stored width nothing changes', () => {
  const all = Int8Array.from({ length: 256 }, (_, i) => i - 128);
  assert.deepEqual(narrowCodes(all, 8, 8), all);
});

test('rounding twice differs from rounding once at 78 of 2,560 points, each by one', () => {
  // w on a grid of 0.001 in [−1.28, 1.28), scale 0.01, four bits less; of 9 bits to 5, so that nothing is clipped.
  let differing = 0;
  for (let i = -1280; i < 1280; i++) {
    const stored = Math.min(127, rne(i / 1000 / 0.01));
    const distance = Math.abs(narrowCodes(Int8Array.of(stored), 9, 5)[0] - rne(i / 1000 / 0.16));
    assert.ok(distance <= 1);
    differing += distance;
  }
  assert.equal(differing, 78);
});
