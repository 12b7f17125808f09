import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { exp, exponentOf, log, log10, log2, pow, powerOfTwo } from '../../src/numeric/elementary.ts';

const near = (actual: number, expected: number, relative = 2e-15) =>
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual} is not ${expected}`);

test('exp and log agree with the platform to the last places', () => {
  fc.assert(fc.property(fc.double({ min: -745, max: 709, noNaN: true }), (x) => {
    if (x > -700) near(exp(x), Math.exp(x));
  }), { seed: 3, numRuns: 3000 });
  fc.assert(fc.property(fc.double({ min: 5e-324, max: 1.7e308, noNaN: true }), (x) => {
    near(log(x), Math.log(x));
    near(log2(x), Math.log2(x));
    near(log10(x), Math.log10(x));
  }), { seed: 4, numRuns: 3000 });
});

test('pow agrees with the platform within the growth of its exponent', () => {
  fc.assert(fc.property(fc.double({ min: 1e-10, max: 1e10, noNaN: true }), fc.double({ min: -8, max: 8, noNaN: true }), (x, y) => {
    near(pow(x, y), Math.pow(x, y), 1e-13);
  }), { seed: 5, numRuns: 3000 });
  assert.equal(pow(2, -3), 0.125);
  assert.equal(pow(-3, 3), -27);
  assert.equal(pow(0, 2.4), 0);
});

test('the ends are those of IEEE 754', () => {
  assert.equal(exp(0), 1);
  assert.equal(exp(-Infinity), 0);
  assert.equal(exp(Infinity), Infinity);
  assert.equal(exp(710), Infinity);
  assert.ok(exp(-744) > 0);
  assert.equal(log(0), -Infinity);
  assert.ok(Number.isNaN(log(-1)) && Number.isNaN(exp(NaN)) && Number.isNaN(log(NaN)));
  assert.equal(log(1), 0);
});

test('powers of two are exact in both directions', () => {
  for (let k = -1074; k <= 1023; k++) {
    assert.equal(powerOfTwo(k), 2 ** k);
    assert.equal(exponentOf(2 ** k), k);
    assert.equal(log2(2 ** k), k);
  }
  assert.equal(exponentOf(8 - 2 ** -50), 2);
  assert.equal(exponentOf(-0.75), -1);
});
