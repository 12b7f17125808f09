/** Measures of outputs with values worked out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureOutputs, structureMeasure } from '../../src/observe/output-measures.ts';

const close = (found: number, expected: number): void => assert.ok(Math.abs(found - expected) < 1e-6, `${found} is not ${expected}`);
const [a, b] = [Float32Array.of(1, 2, 3), Float32Array.of(1, 2, 2.5)];

test('noise adds up, its decibels do not', () => {
  close(measureOutputs('sqnr', a, b, 1), 17.48188);
  close(measureOutputs('noise', a, b, 1), -0.25 / 14);
  assert.equal(measureOutputs('sqnr', a, a, 1), 120);
});

test('structural similarity of whole images is that of their means, variances and covariance', () => {
  assert.equal(structureMeasure(a, a, 1, 2), 1);
  // Means 2 and 11/6, variances 2/3 and 7/18, covariance 1/2; constants (0.02)² and (0.06)².
  const expected = ((2 * 2 * (11 / 6) + 0.0004) * (2 * 0.5 + 0.0036)) / ((4 + (11 / 6) ** 2 + 0.0004) * (2 / 3 + 7 / 18 + 0.0036));
  close(structureMeasure(a, b, 1, 2), expected);
  close(structureMeasure(Float32Array.of(...a, ...a), Float32Array.of(...a, ...b), 2, 2), (1 + expected) / 2);
});
