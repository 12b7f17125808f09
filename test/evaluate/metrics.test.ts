/** Metrics against their formulas on cases worked by hand, and against figures of NumPy 2.4, SciPy 1.17 and scikit-image 0.26. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argMax, deltaPRms, inTopK, klDivergence, logSoftmax, perplexity } from '../../src/numeric/distribution.ts';
import { cropBorder, luma601, psnr, ssim, type Plane } from '../../src/evaluate/metrics/image.ts';
import { cosine, sqnr } from '../../src/evaluate/metrics/signal.ts';
import { pairedDifference, percentile, summarize } from '../../src/evaluate/metrics/summary.ts';

const near = (found: number, expected: number, tolerance = 1e-12) =>
  assert.ok(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), `${found} is not ${expected}`);

const logs = (probabilities: readonly number[]) => Float64Array.from(probabilities, Math.log);

test('log-softmax of one row among others is that of SciPy, and does not overflow', () => {
  const found = logSoftmax([99, 1, 2, 3, -1, 99], 1, 4);
  [-2.4197166463153397, -1.4197166463153397, -0.41971664631533956, -4.419716646315339].forEach((expected, i) => near(found[i], expected));
  near(logSoftmax([1e4, 1e4], 0, 2)[0], -Math.log(2));
});

test('KL divergence is the sum of p·ln(p/q), from the reference to the other', () => {
  // ½ ln(½ / ¼) + ½ ln(½ / ¾), and the other way round ¼ ln(¼ / ½) + ¾ ln(¾ / ½)
  near(klDivergence(logs([0.5, 0.5]), logs([0.25, 0.75])), 0.5 * Math.log(4 / 3));
  near(klDivergence(logs([0.25, 0.75]), logs([0.5, 0.5])), 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5));
  near(klDivergence(logSoftmax([1, 2, 3, -1], 0, 4), logSoftmax([1.5, 1.5, 2.5, 0], 0, 4)), 0.07093119033157141);
});

test('KL divergence is zero for equal rows, infinite where the other rules out what happens, and ignores what does not happen', () => {
  assert.equal(klDivergence(logs([0.3, 0.7]), logs([0.3, 0.7])), 0);
  assert.equal(klDivergence(logs([0.5, 0.5]), logs([1, 0])), Infinity);
  near(klDivergence(logs([1, 0]), logs([0.5, 0.5])), Math.log(2));
});

test('the first choice is the lowest index among equals, and so is the order of the top k', () => {
  assert.equal(argMax([1, 3, 3, 2]), 1);
  // Counted from the start of the row.
  assert.equal(argMax([9, 1, 3, 3, 2, 9], 1, 4), 1);
  const row = [0, 5, 5, 7, 1];
  assert.deepEqual([3, 1, 2, 4, 0].map((label) => [1, 2, 3, 4, 5].findIndex((k) => inTopK(row, 0, 5, label, k))), [0, 1, 2, 3, 4]);
  assert.equal(inTopK(row, 0, 5, 7, 5), false);
  assert.equal(inTopK([NaN, 1], 0, 2, 0, 1), false);
});

test('perplexity of a model that gives every token one in eight is eight', () => {
  near(perplexity([Math.log(8), Math.log(8), Math.log(8)]), 8);
  // Probabilities 1/2 and 1/8: the geometric mean of 2 and 8.
  near(perplexity([Math.log(2), Math.log(8)]), 4);
});

test('the change of the right token\'s probability is a root mean square', () => {
  near(deltaPRms([0.5, 0.2, 0.9], [0.6, 0.2, 0.7]), Math.sqrt(0.05 / 3));
});

test('SQNR is the ratio of the powers of signal and noise in decibels', () => {
  // Signal 9 + 16 = 25, noise 0.25: a ratio of 100.
  near(sqnr([3, 4], [3, 4.5]), 20);
  assert.equal(sqnr([3, 4], [3, 4]), Infinity);
  assert.equal(sqnr([0, 0], [0, 1]), -Infinity);
});

test('cosine is one for two zero vectors and zero for one', () => {
  near(cosine([1, 0], [1, 1]), Math.SQRT1_2);
  near(cosine([1, 2], [-2, -4]), -1);
  assert.equal(cosine([0, 0], [0, 0]), 1);
  assert.equal(cosine([0, 0], [0, 1]), 0);
});

test('percentiles and standard errors are those of NumPy', () => {
  const values = [3, 1, 4, 1, 5, 9, 2, 6];
  const found = summarize(values);
  assert.equal(found.count, 8);
  near(found.mean, 3.875);
  near(found.standardError, 0.9716977043151993);
  near(found.median, 3.5);
  near(found.p90, 6.8999999999999995);
  near(found.p99, 8.79);
  assert.equal(found.max, 9);
  near(percentile([1, 1, 2, 3, 4, 5, 6, 9], 0.1), 1);
  assert.equal(summarize([7]).standardError, 0);
});

test('a paired difference has the error of the differences, not of the values', () => {
  // Differences 1, 2, 3: variance 1.
  assert.deepEqual(pairedDifference([10, 200, 3000], [11, 202, 3003]), { mean: 2, standardError: Math.sqrt(1 / 3), count: 3 });
  assert.equal(pairedDifference([1, 5], [2, 6]).standardError, 0);
});

test('luma is that of BT.601 with 16 for black and 235 for white', () => {
  const [black, white, red, green, blue] = luma601([0, 255, 255, 0, 0], [0, 255, 0, 255, 0], [0, 255, 0, 0, 255]);
  near(black, 16);
  near(white, 235);
  near(red, 16 + 65.481);
  near(green, 16 + 128.553);
  near(blue, 16 + 24.966);
});

test('cropping a border leaves the middle', () => {
  const plane = { width: 4, height: 3, values: Array.from({ length: 12 }, (_, i) => i) };
  assert.deepEqual(cropBorder(plane, 1), { width: 2, height: 1, values: Float64Array.of(5, 6) });
});

const width = 15;
const height = 13;
const plane = (value: (x: number, y: number) => number): Plane =>
  ({ width, height, values: Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width))) });
const texture = (x: number, y: number) => (x * x * 7 + y * 31 + x * y * 3) % 256;
const a = plane(texture);
const b = plane((x, y) => Math.min(255, Math.max(0, texture(x, y) + ((x * 5 + y * 3) % 11) - 5)));

test('PSNR is 10·log10(255² / mean squared difference) over all planes', () => {
  const flat = (value: number): Plane => ({ width: 2, height: 1, values: [value, value] });
  // Squared differences 4, 4, 0, 0: a mean of 2.
  near(psnr([flat(10), flat(7)], [flat(12), flat(7)]), 10 * Math.log10(65025 / 2));
  assert.equal(psnr([flat(1)], [flat(1)]), Infinity);
  near(psnr([a], [b]), 38.19361588897902);
});

test('SSIM is that of scikit-image with the window of the paper', () => {
  near(ssim(a, b), 0.9990773972473913, 1e-9);
  near(ssim(a, plane((x, y) => (x * 13 + y * 17) % 64)), 0.018794347858183076, 1e-9);
});

test('SSIM of two flat images is its luminance term', () => {
  // (2·100·110 + c1) / (100² + 110² + c1), c1 = (0.01·255)²
  near(ssim(plane(() => 100), plane(() => 110)), (22000 + 6.5025) / (22100 + 6.5025), 1e-9);
  near(ssim(a, a), 1);
});

test('SSIM of an image smaller than its window is not a number', () => {
  const small: Plane = { width: 10, height: 12, values: new Float64Array(120) };
  assert.ok(Number.isNaN(ssim(small, small)));
});
