import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adam, adamw, sgd, type Optimizer } from '../../src/train/optimizers.ts';
import { cosine, exponential, linear, Plateau, warmupStableDecay, withWarmup } from '../../src/train/schedules.ts';

/** Three steps on Σ a·p² + 0.3·p from one start, as PyTorch 2.15 takes them in float64. */
const cases: readonly { readonly name: string; readonly optimizer: Optimizer; readonly decay: number; readonly expected: readonly (readonly number[])[] }[] = [
  { name: 'sgd', optimizer: sgd(), decay: 0.01, expected: [[0.3695, -0.629, 2.168], [0.2652305, -0.406771, 2.352632], [0.1819191695, -0.273655829, 2.555542568]] },
  { name: 'momentum', optimizer: sgd({ momentum: 0.9 }), decay: 0.01, expected: [[0.3695, -0.629, 2.168], [0.1477805, -0.072871, 2.503832], [-0.1114709305, 0.426866371, 3.023960168]] },
  { name: 'nesterov', optimizer: sgd({ momentum: 0.9, nesterov: true }), decay: 0, expected: [[0.253, -0.297, 2.323], [-0.00544, 0.17142, 2.84507], [-0.2204288, 0.3257988, 3.6164263]] },
  { name: 'adam', optimizer: adam(), decay: 0.01, expected: [[0.40000000077, -0.90000000027, 2.0999999994], [0.30077979133, -0.80046016018, 2.20010820891], [0.20310296566, -0.70177923243, 2.30039128109]] },
  { name: 'adamw', optimizer: adamw({ beta1: 0.8, beta2: 0.95, epsilon: 1e-6 }), decay: 0.1, expected: [[0.39500007692, -0.89000002703, 2.07999994118], [0.29218522076, -0.78183992518, 2.15936983491], [0.19260922097, -0.67613033876, 2.23821596358]] },
];

for (const { name, optimizer, decay, expected } of cases) {
  test(`${name} takes the steps of PyTorch`, () => {
    const parameter = Float32Array.of(0.5, -1, 2);
    const state = Array.from({ length: optimizer.slots }, () => new Float32Array(3));
    expected.forEach((values, i) => {
      const gradient = parameter.map((p, k) => 2 * [1, 2, -0.5][k] * p + 0.3);
      optimizer.update(parameter, gradient, state, { rate: 0.1, decay, step: i + 1 });
      values.forEach((value, k) => assert.ok(Math.abs(parameter[k] - value) < 2e-6, `step ${i + 1}, entry ${k}: ${parameter[k]}, expected ${value}`));
    });
  });
}

test('a plateau lowers the rate when PyTorch does', () => {
  const plateau = new Plateau({ factor: 0.1, patience: 2, floor: 1e-3 });
  const rates = [5, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3].map((loss) => {
    plateau.observe(loss);
    return Number(plateau.rate.toPrecision(6));
  });
  assert.deepEqual(rates, [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.001, 0.001]);
});

test('schedules pass through their corners', () => {
  const at = (schedule: (step: number) => number, steps: readonly number[]) => steps.map((step) => Number(schedule(step).toFixed(9)));
  assert.deepEqual(at(cosine(4), [0, 1, 2, 3, 4, 9]), [1, 0.853553391, 0.5, 0.146446609, 0, 0]);
  assert.deepEqual(at(cosine(4, 0.2), [0, 2, 4]), [1, 0.6, 0.2]);
  assert.deepEqual(at(linear(10, 0.1), [0, 5, 10, 20]), [1, 0.55, 0.1, 0.1]);
  assert.deepEqual(at(exponential(0.5, 10), [0, 9, 10, 25]), [1, 1, 0.5, 0.25]);
  assert.deepEqual(at(withWarmup(3, cosine(4)), [0, 1, 2, 3, 5]), [0.25, 0.5, 0.75, 1, 0.5]);
  assert.deepEqual(at(warmupStableDecay(10, 2, 4), [0, 1, 2, 5, 6, 8, 10]), [0.333333333, 0.666666667, 1, 1, 1, 0.5, 0]);
});
