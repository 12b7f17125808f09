/** Groups with measures of their own: budgets with known values, and plans beside brute force. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseOptions } from '../../src/allocate/choose.ts';
import { decoupledPlans, splitBudget, type MeasuredGroup } from '../../src/allocate/decoupled.ts';

const near = (found: readonly number[], expected: readonly number[]): void =>
  expected.forEach((value, i) => assert.ok(Math.abs(found[i] - value) < 1e-6, `${found[i]} is not ${value}`));

test('budgets keep the mean and the ratio', () => {
  // Content first: r = params(content) / params(quality), k = bits(content) / bits(quality).
  near(splitBudget([2, 1], [0.5, 1], 5), [3.75, 7.5]);
  near(splitBudget([1.5, 1], [1.36, 1], 4), [4.473684, 3.289474]);
});

/** Scores in hundredths, so that ties are exact. */
const toy: MeasuredGroup = { name: 'toy', sizes: [1, 2, 4], widths: [2, 4, 8], scores: [[20, 80, 95], [50, 90, 97], [70, 85, 90]] };

test('one group at one budget is the integer program alone', async () => {
  const [plan] = decoupledPlans([toy], { meanBits: 4, slack: 0, points: 1 });
  // (8, 4, 2) scores as much and costs less: without a lower bound it is taken.
  assert.deepEqual(plan, { bits: [[8, 4, 2]], meanBits: 24 / 7 });
  const candidates = toy.sizes.map((size, i) => toy.widths.map((width, k) => ({ loss: -toy.scores[i][k], uses: [size * width] })));
  assert.deepEqual((await chooseOptions(candidates, [28])).choice.map((k) => toy.widths[k]), [8, 4, 2]);
  assert.deepEqual((await chooseOptions(candidates, [{ least: 27.86, most: 28.14 }])).choice.map((k) => toy.widths[k]), [4, 4, 4]);
});

test('a share that no choice meets is kept from below', () => {
  const [plan] = decoupledPlans([{ ...toy, sizes: [1, 1, 1], widths: [4, 8], scores: toy.scores.map((row) => row.slice(1)) }], { meanBits: 5, slack: 0, points: 1 });
  assert.deepEqual(plan.bits, [[4, 4, 4]]);
});

test('every plan is the best of its groups at the bits it takes', () => {
  const other: MeasuredGroup = { name: 'other', sizes: [3, 1, 2, 2], widths: [4, 8], scores: [[30, 45], [12, 40], [25, 44], [20, 60]] };
  const plans = decoupledPlans([toy, other], { meanBits: 5, points: 4 });
  assert.ok(plans.length >= 2);
  for (const { bits, meanBits } of plans) {
    assert.ok(meanBits <= 5 + 1e-9 && meanBits > 4);
    for (const [g, group] of [toy, other].entries()) {
      const used = uses(group, bits[g]);
      const best = Math.max(...choices(group).filter((choice) => uses(group, choice) <= used).map((choice) => score(group, choice)));
      assert.ok(Math.abs(score(group, bits[g]) - best) < 1e-9);
    }
  }
});

const uses = ({ sizes }: MeasuredGroup, bits: readonly number[]): number => bits.reduce((total, width, i) => total + width * sizes[i], 0);
const score = ({ widths, scores }: MeasuredGroup, bits: readonly number[]): number => bits.reduce((total, width, i) => total + scores[i][widths.indexOf(width)], 0);
const choices = ({ sizes, widths }: MeasuredGroup): number[][] =>
  sizes.reduce<number[][]>((lists) => lists.flatMap((list) => widths.map((width) => [...list, width])), [[]]);
