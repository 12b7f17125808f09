import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestWithin, paretoFront, type Option } from '../../src/allocate/pareto.ts';
import { randomInteger, uniform } from '../../src/numeric/random.ts';

const bits = [2, 4, 8];
/** The example of the ZeroQ card. */
const sizes = [100, 200, 50, 400];
const losses = [[0.9, 0.2, 0.01], [0.5, 0.1, 0.02], [2, 0.6, 0.05], [0.3, 0.15, 0.01]];
const layers = sizes.map((size, i) => bits.map((b, k): Option => ({ cost: b * size, loss: losses[i][k] })));

test('the frontier of four layers has the ten states of the card', () => {
  const front = paretoFront(layers);
  const shown = front.map(({ cost, loss, choice }) => [cost, Number(loss.toFixed(6)), choice.map((k) => bits[k]).join('')]);
  assert.equal(front.length, 10);
  assert.deepEqual(shown.slice(0, 4), [[1500, 3.7, '2222'], [1600, 2.3, '2242'], [1800, 1.6, '4242'], [2000, 1.05, '4282']]);
  const best = bestWithin(front, 3000)!;
  assert.deepEqual([best.cost, Number(best.loss.toFixed(6)), best.choice.map((k) => bits[k])], [2800, 0.46, [8, 4, 8, 2]]);
  assert.equal(bestWithin(front, 1499), undefined);
});

test('no choice of all beats the frontier', () => {
  for (let seed = 0; seed < 20; seed++) {
    const made = Array.from({ length: 5 }, (_, layer) => Array.from({ length: 3 }, (_, k): Option => ({ cost: 1 + randomInteger(seed, layer, k, 9), loss: uniform(seed, 10 + layer, k) })));
    const front = paretoFront(made);
    for (let choice = 0; choice < 3 ** 5; choice++) {
      const picked = made.map((options, layer) => options[Math.floor(choice / 3 ** layer) % 3]);
      const cost = picked.reduce((sum, option) => sum + option.cost, 0);
      const loss = picked.reduce((sum, option) => sum + option.loss, 0);
      assert.ok(bestWithin(front, cost)!.loss <= loss + 1e-12);
    }
    for (const { cost, loss, choice } of front) {
      assert.ok(Math.abs(choice.reduce((sum, k, layer) => sum + made[layer][k].cost, 0) - cost) < 1e-9);
      assert.ok(Math.abs(choice.reduce((sum, k, layer) => sum + made[layer][k].loss, 0) - loss) < 1e-9);
    }
  }
});
