import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureLatency } from '../../src/evaluate/metrics/latency.ts';

/** A clock that runs only while a candidate does, and the order in which they ran. */
function race(durations: Readonly<Record<string, (run: number) => number>>) {
  let time = 0;
  const order: string[] = [];
  const runs: Record<string, number> = {};
  const candidates = Object.entries(durations).map(([name, duration]) => ({
    name,
    run: async () => {
      order.push(name);
      runs[name] = (runs[name] ?? -1) + 1;
      time += duration(runs[name]);
    },
  }));
  return { candidates, order, now: () => time };
}

test('ratios are those of the same round, so that what slows both cancels', async () => {
  // Round r takes (r + 1) times as long for both: 10, 20 … 100 and 5, 10 … 50.
  const { candidates, now } = race({ float: (run) => 10 * (run + 1), small: (run) => 5 * (run + 1) });
  const [float, small] = await measureLatency(candidates, { warmup: 0, rounds: 10, now });
  assert.deepEqual(float, { name: 'float', median: 55, p10: 19, p90: 91, ratio: 1, ratioP10: 1, ratioP90: 1, rounds: 10 });
  assert.deepEqual(small, { name: 'small', median: 27.5, p10: 9.5, p90: 45.5, ratio: 0.5, ratioP10: 0.5, ratioP90: 0.5, rounds: 10 });
});

test('a ratio comes with its spread over the rounds', async () => {
  const { candidates, now } = race({ float: () => 4, other: (run) => run + 1 });
  const [, other] = await measureLatency(candidates, { warmup: 0, rounds: 11, now });
  // Times 1 … 11 over 4: the tenth percentile is the second, the ninetieth the tenth.
  assert.deepEqual([other.ratioP10, other.ratio, other.ratioP90], [0.5, 1.5, 2.5]);
});

test('every second round runs backwards, and warm-up runs are not counted', async () => {
  const { candidates, order, now } = race({ a: (run) => (run < 2 ? 1000 : 1), b: (run) => (run < 2 ? 1000 : 3) });
  const [a, b] = await measureLatency(candidates, { warmup: 2, rounds: 3, now });
  assert.equal(order.join(''), 'abab' + 'abbaab');
  assert.deepEqual([a.p90, b.p90, b.ratio], [1, 3, 3]);
});

test('five rounds are run however slow they are, and no more than the budget after that', async () => {
  const slow = race({ a: () => 1000 });
  assert.equal((await measureLatency(slow.candidates, { warmup: 0, rounds: 30, budget: 10, now: slow.now }))[0].rounds, 5);
  const quick = race({ a: () => 10 });
  assert.equal((await measureLatency(quick.candidates, { warmup: 0, rounds: 30, budget: 80, now: quick.now }))[0].rounds, 8);
  const few = race({ a: () => 10 });
  assert.equal((await measureLatency(few.candidates, { warmup: 0, rounds: 2, now: few.now }))[0].rounds, 2);
});
