import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseOptions, tieGroups, type Budget, type Candidate } from '../../src/allocate/choose.ts';
import { randomInteger, uniform } from '../../src/numeric/random.ts';

/** Groups whose option k costs widths[k] per weight. */
const widthGroups = (widths: readonly number[], sizes: readonly number[], losses: readonly (readonly number[])[]): Candidate[][] =>
  sizes.map((size, i) => widths.map((width, k) => ({ loss: losses[i][k], uses: [width * size] })));

/** Every choice, without a solver: the least loss, then the least uses. */
function bruteForce(groups: readonly (readonly Candidate[])[], budgets: readonly Budget[]): { loss: number; use: number } | undefined {
  let best: { loss: number; use: number } | undefined;
  const walk = (group: number, loss: number, uses: readonly number[]): void => {
    if (group < groups.length) {
      for (const option of groups[group]) walk(group + 1, loss + option.loss, uses.map((use, k) => use + option.uses[k]));
      return;
    }
    if (!budgets.every((budget, k) => (typeof budget === 'number' ? uses[k] <= budget : uses[k] >= budget.least && uses[k] <= budget.most))) return;
    const use = uses.reduce((sum, used, k) => sum + used / (typeof budgets[k] === 'number' ? budgets[k] : budgets[k].most), 0);
    if (best === undefined || loss < best.loss - 1e-9 * best.loss || (loss <= best.loss * (1 + 1e-9) && use < best.use)) best = { loss, use };
  };
  walk(0, 0, budgets.map(() => 0));
  return best;
}

test('random programs have the loss and the uses that trying every choice finds', async () => {
  for (let seed = 0; seed < 24; seed++) {
    const count = 1 + (seed % 2);
    const groups = Array.from({ length: 4 + (seed % 3) }, (_, group) => Array.from({ length: 3 }, (_, option): Candidate => ({
      // Every third program has losses from 10⁻⁹ to 10³, every third one whole losses that tie.
      loss: seed % 3 === 0 ? 10 ** (-9 + 12 * uniform(seed, group, option)) : seed % 3 === 1 ? 1 + randomInteger(seed, group, option, 3) : uniform(seed, group, option),
      uses: Array.from({ length: count }, (_, k) => 1 + randomInteger(seed, 100 + group * 3 + option, k, 50)),
    })));
    const budgets = Array.from({ length: count }, (_, k): Budget => {
      const most = Math.round(groups.reduce((sum, options) => sum + options.reduce((all, { uses }) => all + uses[k], 0) / 3, 0));
      return seed % 4 === 3 ? { most, least: most - 12 } : most;
    });
    const best = bruteForce(groups, budgets);
    if (best === undefined) await assert.rejects(chooseOptions(groups, budgets), /no choice meets|nearest sum/);
    else {
      const { choice, loss, uses } = await chooseOptions(groups, budgets);
      assert.ok(Math.abs(loss - best.loss) <= 1e-8 * best.loss, `seed ${seed}: ${loss} instead of ${best.loss}`);
      const use = uses.reduce((sum, used, k) => { const budget = budgets[k]; return sum + used / (typeof budget === 'number' ? budget : budget.most); }, 0);
      assert.ok(Math.abs(use - best.use) < 1e-9, `seed ${seed}: uses ${use} instead of ${best.use}`);
      assert.equal(loss, choice.reduce((sum, option, group) => sum + groups[group][option].loss, 0));
    }
  }
});

test('HAWQ-V3 toy: the optimum upgrades layers 2 and 3', async () => {
  const groups = [[10, 9], [9, 4], [6, 4]].map(([benefit, cost]): Candidate[] => [{ loss: benefit, uses: [0] }, { loss: 0, uses: [cost] }]);
  const { choice, loss } = await chooseOptions(groups, [10]);
  assert.deepEqual([choice, loss], [[0, 1, 1], 10]);
});

test('Q-Palette toys: bits of layers by their error coefficients', async () => {
  const bits = [2, 2.5, 3, 3.5, 4];
  const chosen = async (a: readonly number[], n: readonly number[]): Promise<number[]> => {
    const groups = widthGroups(bits, n, a.map((each) => bits.map((b) => each * 4 ** -b)));
    return (await chooseOptions(groups, [3 * n.reduce((sum, each) => sum + each)])).choice.map((k) => bits[k]);
  };
  assert.deepEqual(await chosen([1, 4, 16], [1, 1, 1]), [2, 3, 4]);
  assert.deepEqual(await chosen([1, 4], [2, 1]), [2.5, 4]);
});

test('LQ-LoRA toy: costs of the budgets on the card', async () => {
  const groups = widthGroups([2, 3, 4], [100, 50, 200], [[9, 3, 1], [4, 2, 0.5], [16, 5, 2]]);
  for (const [budget, cost] of [[2.5, 21], [3, 10], [3.25, 8.5], [3.5, 6.5]]) assert.equal((await chooseOptions(groups, [budget * 350])).loss, cost);
});

test('MixDQ toy: a band around the mean, and a tie that goes to the lower cost', async () => {
  const groups = widthGroups([2, 4, 8], [1, 2, 4], [[0.2, 0.8, 0.95], [0.5, 0.9, 0.97], [0.7, 0.85, 0.9]].map((scores) => scores.map((score) => -score)));
  const within = await chooseOptions(groups, [{ least: 28 - 0.14, most: 28 + 0.14 }]);
  assert.deepEqual([within.choice, within.loss.toFixed(6)], [[1, 1, 1], '-2.550000']);
  const below = await chooseOptions(groups, [28]);
  assert.deepEqual([below.choice, below.loss.toFixed(6), below.uses], [[2, 1, 0], '-2.550000', [24]]);
});

test('what no choice can meet is refused with the nearest sum', async () => {
  const groups = widthGroups([2, 4], [10, 10], [[1, 0], [1, 0]]);
  await assert.rejects(chooseOptions(groups, [39]), /budget 0 asks for at most 39, but the nearest sum that any choice has is 40/);
  await assert.rejects(chooseOptions(groups, [{ least: 81, most: 90 }]), /at least 81, but the nearest sum that any choice has is 80/);
  await assert.rejects(chooseOptions(groups, [{ least: 41, most: 59 }]), /no choice meets/);
  await assert.rejects(chooseOptions([[]], []), /group 0 has no options/);
  assert.throws(() => tieGroups([groups[0], groups[1].slice(1)], [[0, 1]]), /groups 0, 1 are tied/);
});
