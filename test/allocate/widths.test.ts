import assert from 'node:assert/strict';
import { test } from 'node:test';
import { widthsByTrace } from '../../src/allocate/mean-bits.ts';
import { drawWidth, sensitiveLayers } from '../../src/allocate/roulette.ts';
import { uniform } from '../../src/numeric/random.ts';

const widths = [2, 4, 6, 8];

test('sensitive layers draw a width with a chance in proportion to it', () => {
  assert.deepEqual([0.05, 0.25, 0.55, 0.95].map((at) => drawWidth(widths, true, at)), [2, 4, 6, 8]);
  const counts = new Map(widths.map((width) => [width, 0]));
  for (let i = 0; i < 20_000; i++) {
    const width = drawWidth(widths, true, uniform(1, 2, i));
    counts.set(width, counts.get(width)! + 1);
  }
  [0.1, 0.2, 0.3, 0.4].forEach((share, i) => assert.ok(Math.abs(counts.get(widths[i])! / 20_000 - share) < 0.015));
});

test('other layers draw all widths alike', () => {
  assert.deepEqual([0.05, 0.3, 0.6, 0.95].map((at) => drawWidth(widths, false, at)), [2, 4, 6, 8]);
  assert.equal(drawWidth(widths, false, 0.999999), 8);
});

test('a layer is sensitive from the mean trace on', () => {
  assert.deepEqual(sensitiveLayers([1, 2, 3]), [false, true, true]);
});

/** All choices of widths with this sum, by brute force. */
function least(loss: (choice: readonly number[]) => number, sum: number): number[] {
  let best: number[] = [];
  for (const a of widths) for (const b of widths) for (const c of widths) {
    const choice = [a, b, c];
    if (a + b + c === sum && (best.length === 0 || loss(choice) < loss(best))) best = choice;
  }
  return best;
}

test('a mean of 4 bits is spent where rounding costs most; the printed objective takes it from there', () => {
  const layers = [{ trace: 100, count: 10 }, { trace: 4, count: 4 }, { trace: 3, count: 30 }];
  const slope = layers.map(({ trace, count }) => trace / count);
  const total = (choice: readonly number[], of: (slope: number, width: number) => number) => choice.reduce((sum, width, i) => sum + of(slope[i], width), 0);
  assert.deepEqual(widthsByTrace(layers, { widths, mean: 4 }), least((choice) => total(choice, (s, width) => s * 4 ** -width), 12));
  const printed = widthsByTrace(layers, { widths, mean: 4, objective: 'printed' });
  assert.deepEqual(printed, least((choice) => total(choice, (s, width) => s * width), 12));
  assert.ok(printed[0] < printed[2]);
});
