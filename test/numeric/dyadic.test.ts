import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dyadic, dyadicValue, rescaler } from '../../src/numeric/dyadic.ts';
import { randomInteger, uniform } from '../../src/numeric/random.ts';

test('factors have the multipliers and shifts of the HAWQ-V3 card', () => {
  assert.deepEqual(dyadic(0.0123), { multiplier: 1690499128, shift: 37 });
  assert.deepEqual(dyadic(0.5), { multiplier: 1073741824, shift: 31 });
  assert.deepEqual(dyadic(1), { multiplier: 1073741824, shift: 30 });
  assert.deepEqual(dyadic(0.3333333333), { multiplier: 1431655765, shift: 32 });
  assert.deepEqual(dyadic((0.05 * 0.002) / 0.1), { multiplier: 1099511628, shift: 40 });
  assert.deepEqual(dyadic(0.03 / 0.1), { multiplier: 1288490189, shift: 32 });
});

test('a fraction that rounds up to one is renormalized, and what rounds everything away is zero', () => {
  assert.deepEqual(dyadic(1 - 2 ** -40), { multiplier: 2 ** 30, shift: 30 });
  assert.deepEqual(dyadic(0), { multiplier: 0, shift: 0 });
  assert.deepEqual(dyadic(2 ** -33), { multiplier: 0, shift: 0 });
  assert.throws(() => dyadic(2 ** 30), /no dyadic form/);
  assert.throws(() => dyadic(-1), /no dyadic form/);
});

test('integers are rescaled as the card says, negative ones by the same rule', () => {
  const scaled = (factor: number, values: number[]): number[] => values.map(rescaler(dyadic(factor)));
  assert.deepEqual(scaled(0.0123, [12345, -12345, 1000, 2147483]), [152, -152, 12, 26414]);
  assert.deepEqual(scaled(0.001, [1000, -37, 512, 499, 501]), [1, 0, 1, 0, 1]);
  assert.deepEqual(scaled(0.3, [10, -3, 7, 0, 4]), [3, -1, 2, 0, 1]);
  // Halves go upward.
  assert.deepEqual(scaled(0.5, [1, -1, 3, -3]), [1, 0, 2, -1]);
});

test('every 32-bit integer and factor gives what 64-bit integers give', () => {
  for (let i = 0; i < 20_000; i++) {
    const factor = 2 ** (-32 + 61.9 * uniform(1, 0, i));
    const integer = randomInteger(2, 0, i, 2 ** 32 - 1) - (2 ** 31 - 1);
    const value = dyadic(factor);
    assert.ok(Math.abs(dyadicValue(value) / factor - 1) <= 2 ** -31);
    const sum = BigInt(integer) * BigInt(value.multiplier) + (value.shift > 0 ? 1n << BigInt(value.shift - 1) : 0n);
    const expected = sum >> BigInt(value.shift);
    // Beyond 2^53 no double holds the result.
    if (expected < 2n ** 53n && expected > -(2n ** 53n)) assert.equal(BigInt(rescaler(value)(integer)), expected, `${integer} times ${factor}`);
  }
});
