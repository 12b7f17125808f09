import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { rhaz, rne } from '../../src/numeric/rounding.ts';

test('ties go to even under rne and away from zero under rhaz', () => {
  const rows: [number, number, number][] = [
    [0.5, 0, 1], [1.5, 2, 2], [2.5, 2, 3], [-0.5, 0, -1], [-1.5, -2, -2], [-2.5, -2, -3],
    [0.49999999999999994, 0, 0], [-0.49999999999999994, 0, 0], [2251799813685248.5, 2251799813685248, 2251799813685249],
    [2251799813685249.5, 2251799813685250, 2251799813685250], [-2251799813685249.5, -2251799813685250, -2251799813685250],
    [4503599627370497, 4503599627370497, 4503599627370497],
  ];
  for (const [x, even, away] of rows) {
    assert.equal(rne(x) + 0, even, `rne(${x})`);
    assert.equal(rhaz(x) + 0, away, `rhaz(${x})`);
  }
});

test('both are within half a unit, and integers stay', () => {
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (x) => {
    for (const round of [rne, rhaz]) {
      const q = round(x);
      assert.ok(Number.isInteger(q) && Math.abs(q - x) <= 0.5);
      assert.equal(round(q), q);
    }
  }), { seed: 2 });
});
