/** Average precision by hand on a few boxes, and against pycocotools 2.0 on crowded ones. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cocoScores, intersectionOverUnion, meanAveragePrecision, suppress, type Detection, type ImageResult } from '../../src/evaluate/metrics/detection.ts';
import { decodeFastestDet } from '../../src/evaluate/metrics/fastestdet.ts';

const near = (found: number, expected: number) => assert.ok(Math.abs(found - expected) < 1e-9, `${found} is not ${expected}`);
const box = (category: number, x0: number, y0: number, width: number, height: number) => ({ category, x0, y0, x1: x0 + width, y1: y0 + height });
const found = (category: number, x0: number, y0: number, width: number, height: number, score: number): Detection =>
  ({ ...box(category, x0, y0, width, height), score });

test('intersection over union of boxes that share a quarter each is one seventh', () => {
  near(intersectionOverUnion(box(0, 0, 0, 10, 10), box(0, 5, 5, 10, 10)), 25 / 175);
  assert.equal(intersectionOverUnion(box(0, 0, 0, 10, 10), box(0, 10, 0, 10, 10)), 0);
  assert.equal(intersectionOverUnion(box(0, 0, 0, 0, 10), box(0, 0, 0, 10, 10)), 0);
  assert.equal(intersectionOverUnion(box(0, 2, 3, 4, 5), box(0, 2, 3, 4, 5)), 1);
});

test('suppression keeps the better of two boxes that overlap, per category, best first', () => {
  // Shifted by 1 of 10: 90 / 110. Shifted by 5: 50 / 150.
  const boxes = [found(0, 1, 0, 10, 10, 0.5), found(0, 0, 0, 10, 10, 0.9), found(1, 0, 0, 10, 10, 0.6), found(0, 5, 0, 10, 10, 0.7)];
  assert.deepEqual(suppress(boxes, 0.45).map(({ score }) => score), [0.9, 0.7, 0.6]);
  assert.deepEqual(suppress(boxes, 0.82).map(({ score }) => score), [0.9, 0.7, 0.6, 0.5]);
});

const truth = [box(0, 0, 0, 10, 10), box(0, 20, 0, 10, 10), box(0, 40, 0, 10, 10)];

test('average precision of right, wrong, right with three boxes is that worked by hand', () => {
  const image = { truth, found: [found(0, 0, 0, 10, 10, 0.9), found(0, 70, 0, 10, 10, 0.8), found(0, 20, 0, 10, 10, 0.7)] };
  // Precision 1 to recall 1/3 (points 0 … .33), 2/3 to recall 2/3 (.34 … .66), nothing above.
  near(meanAveragePrecision([image], 0.5), (34 + 33 * (2 / 3)) / 101);
});

test('a box is found once: its second detection is wrong', () => {
  const image = { truth: [truth[0]], found: [found(0, 0, 0, 10, 10, 0.9), found(0, 0, 0, 10, 10, 0.8)] };
  assert.equal(meanAveragePrecision([image], 0.5), 1);
  const swapped = { truth: truth.slice(0, 2), found: [...image.found, found(0, 20, 0, 10, 10, 0.7)] };
  near(meanAveragePrecision([swapped], 0.5), (51 + 50 * (2 / 3)) / 101);
});

test('an overlap of exactly the threshold counts, and the better of two boxes is taken', () => {
  // 5 × 10 of 10 × 10.
  const half = { truth: [truth[0]], found: [found(0, 0, 0, 5, 10, 0.9)] };
  assert.equal(meanAveragePrecision([half], 0.5), 1);
  assert.equal(meanAveragePrecision([half], 0.55), 0);
  // The first detection overlaps both; it takes the second box, which leaves the first to the next.
  const two = { truth: [box(0, 0, 0, 10, 10), box(0, 2, 0, 10, 10)], found: [found(0, 2, 0, 10, 10, 0.9), found(0, 0, 0, 10, 10, 0.8)] };
  assert.equal(meanAveragePrecision([two], 0.5), 1);
});

test('the mean is over the categories that occur, and over ten thresholds for mAP50-95', () => {
  // Category 0 overlaps by 0.7, found at .50 … .70 (five of ten); category 1 is never found; 2 does not occur.
  const image = { truth: [box(0, 0, 0, 10, 10), box(1, 50, 50, 9, 9)], found: [found(0, 0, 0, 7, 10, 0.9), found(2, 80, 80, 5, 5, 0.99)] };
  const { map50, map5095 } = cocoScores([image]);
  near(map50, 0.5);
  near(map5095, 0.25);
});

test('images without any box give no figure', () => {
  assert.ok(Number.isNaN(meanAveragePrecision([{ truth: [], found: [found(0, 0, 0, 1, 1, 1)] }], 0.5)));
});

type Row = readonly number[];
const results = (images: readonly (readonly [readonly Row[], readonly Row[]])[]): ImageResult[] => images.map(([boxes, detections]) => ({
  truth: boxes.map(([category, x, y, w, h]) => box(category, x, y, w, h)),
  found: detections.map(([category, x, y, w, h, score]) => found(category, x, y, w, h, score)),
}));

test('four crowded images score as in pycocotools', () => {
  const { map50, map5095 } = cocoScores(results([
    [[[0, 278, 66, 67, 80], [0, 6, 240, 53, 90], [0, 98, 240, 89, 90], [1, 203, 77, 49, 39], [1, 7, 32, 40, 25]],
      [[0, 276, 72, 61, 78, 0.473], [0, 11, 240, 58, 96, 0.921], [0, 98, 245, 95, 93, 0.445], [1, 199, 76, 44, 33, 0.136],
        [1, 4, 30, 44, 25, 0.779], [1, 215, 259, 40, 40, 0.833], [1, 273, 299, 40, 40, 0.408]]],
    [[[0, 172, 14, 55, 40], [1, 277, 292, 33, 47], [1, 145, 63, 28, 81], [1, 45, 176, 28, 72], [0, 10, 150, 74, 73]],
      [[0, 167, 8, 58, 43, 0.762], [1, 277, 297, 36, 46, 0.551], [1, 143, 65, 25, 75, 0.31], [1, 40, 171, 31, 74, 0.031],
        [0, 7, 150, 72, 76, 0.263], [0, 173, 160, 40, 40, 0.36], [0, 193, 192, 40, 40, 0.46]]],
    [[[1, 286, 52, 84, 54], [1, 121, 154, 75, 53], [1, 280, 173, 21, 73], [1, 10, 192, 37, 27], [1, 238, 180, 65, 55]],
      [[1, 291, 53, 78, 57, 0.061], [1, 125, 148, 74, 51, 0.628], [1, 278, 176, 24, 72, 0.177], [1, 6, 191, 43, 26, 0.844],
        [1, 236, 178, 71, 55, 0.105], [0, 291, 67, 40, 40, 0.31], [0, 137, 122, 40, 40, 0.328]]],
    [[[1, 49, 52, 61, 62], [0, 224, 86, 30, 63], [0, 291, 230, 54, 48], [0, 17, 271, 44, 60], [0, 142, 174, 30, 64]],
      [[1, 52, 48, 61, 60, 0.518], [0, 222, 87, 29, 67, 0.417], [0, 291, 233, 54, 42, 0.921], [0, 13, 268, 38, 61, 0.943],
        [0, 145, 176, 30, 66, 0.95], [0, 16, 233, 40, 40, 0.837], [1, 278, 174, 40, 40, 0.89]]],
  ]));
  near(map50, 0.8342998585572842);
  near(map5095, 0.43901503886652404);
});

test('a hundred detections take part per category, so that strays of one do not push out another', () => {
  const strays = Array.from({ length: 105 }, (_, i) => [1, 200, 200, 10 + (i % 7), 20, 0.9 - i / 1000]);
  // pycocotools: 1 for the first category, 0 for the second.
  near(cocoScores(results([[[[0, 10, 10, 50, 50], [1, 100, 100, 50, 50]], [...strays, [0, 10, 10, 50, 50, 0.3]]]])).map50, 0.5);
  const late = Array.from({ length: 100 }, (_, i) => [0, 200, 200, 10 + (i % 7), 20, 0.9 - i / 1000]);
  assert.equal(cocoScores(results([[[[0, 10, 10, 50, 50]], [...late, [0, 10, 10, 50, 50, 0.3]]]])).map50, 0);
});

test('FastestDet\'s output becomes boxes by its formulas, below the smallest score none', () => {
  // Two categories on a grid of 1 × 2: channels objectness, dx, dy, w, h, two categories.
  const values = [
    [0.5, 0.25], [0, 0.5], [0, -0.5], [0, Math.log(3)], [0, Math.log(1 / 3)], [0.2, 0.75], [0.8, 0.25],
  ].flat();
  const boxes = decodeFastestDet([-1, ...values], [7, 1, 2], 200, 100, {}, 1);
  assert.equal(boxes.length, 2);
  const [first, second] = boxes;
  // Cell 0: centre (0, 0), size ½ × ½ of the image.
  assert.equal(first.category, 1);
  near(first.score, 0.5 ** 0.6 * 0.8 ** 0.4);
  [first.x0, first.y0, first.x1, first.y1].forEach((v, i) => near(v, [-50, -25, 50, 25][i]));
  // Cell 1: centre ((1 + tanh ½) / 2, −tanh ½), size ¾ × ¼; tanh ½ = (e − 1) / (e + 1).
  const t = (Math.E - 1) / (Math.E + 1);
  assert.equal(second.category, 0);
  near(second.score, 0.25 ** 0.6 * 0.75 ** 0.4);
  [second.x0, second.y0, second.x1, second.y1].forEach((v, i) => near(v, [100 * (1 + t) - 75, -100 * t - 12.5, 100 * (1 + t) + 75, -100 * t + 12.5][i]));
  assert.deepEqual(decodeFastestDet(values, [7, 1, 2], 200, 100, { minScore: 0.5 }), boxes.slice(0, 1));
});
